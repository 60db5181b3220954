check:
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
