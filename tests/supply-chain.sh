#!/bin/sh
# Licences, sources and bans by cargo-deny; advisories where their database can be fetched; and a
# bound on how many packages the lock file names.
set -eu

most=400
count=$(grep -c '^name = ' Cargo.lock)
if [ "$count" -gt "$most" ]; then
    echo "Cargo.lock names $count packages; at most $most" >&2
    exit 1
fi

if ! command -v cargo-deny >/dev/null 2>&1; then
    echo "installing cargo-deny" >&2
    cargo install --quiet --locked cargo-deny
fi
cargo deny --log-level error check licenses bans sources
if ! cargo deny --log-level error check advisories 2>target/advisories.log; then
    if grep -q 'error\[' target/advisories.log; then
        cat target/advisories.log >&2
        exit 1
    fi
    echo "advisories: NOT checked, their database cannot be fetched from here" >&2
fi
