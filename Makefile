# What people and CI run. `make help` lists it.
CARGO ?= cargo
export CARGO_TERM_COLOR ?= auto
# Criterion's benches: a package beside titan, built in the same place.
STAGES = --manifest-path benches/stages/Cargo.toml --target-dir target --locked

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
	@sh tests/tools.sh test
	$(CARGO) test --locked --all-targets
	$(CARGO) test --locked --doc

check: tools ## formatting, lints, documentation, supply chain
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path benches/stages/Cargo.toml
	$(CARGO) clippy --all-targets --locked -- -D warnings
	$(CARGO) clippy --all-targets $(STAGES) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked --document-private-items
	sh tests/supply-chain.sh

bench: tools ## measure the pure stages and titan's gates, some 20 minutes (ONLY=warm SIZE=10000 RUNS=5)
	$(if $(ONLY),,$(CARGO) bench $(STAGES))
	ONLY="$(ONLY)" SIZE="$(SIZE)" RUNS="$(RUNS)" README="$(README)" $(CARGO) bench --locked --bench fleet

schemas: ## write schemas/ again from the types
	$(CARGO) run --quiet --locked -- schema --output-dir schemas

clean: ## remove what was built
	$(CARGO) clean
