# What people and CI run. `make help` lists it.
CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto

.PHONY: help demo test check bench build tools schemas clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

tools: ## install what the targets below lack (git, a C compiler, Rust's own tools)
	@sh tests/tools.sh

build: tools ## build the release binary
	$(CARGO) build --release --locked

demo: tools ## run the whole system on this machine, commit to deploy (KEEP=DIR leaves it there)
	$(CARGO) build --locked
	./target/debug/titan demo $(if $(KEEP),--keep "$(KEEP)")

test: tools ## run all tests
	$(CARGO) test --locked --all-targets
	$(CARGO) test --locked --doc

check: tools ## formatting, lints, documentation, supply chain
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --document-private-items
	sh tests/supply-chain.sh

schemas: ## write schemas/ again from the types
	$(CARGO) run --quiet --locked -- schema --output-dir schemas

clean: ## remove what was built
	$(CARGO) clean
