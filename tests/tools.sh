#!/bin/sh
# Installs what `make` needs and the machine lacks; with `test`, what the tests need too. Prints nothing
# when nothing is missing.
set -eu

missing=
command -v git >/dev/null 2>&1 || missing="$missing git"
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
if [ "${1-}" = test ]; then
    command -v node >/dev/null 2>&1 || missing="$missing nodejs"
    command -v npm >/dev/null 2>&1 || missing="$missing npm"
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"
fi

if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 || { echo "please install:$missing" >&2; exit 1; }
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    echo "installing:$missing" >&2
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >&2
fi

command -v cargo >/dev/null 2>&1 || {
    echo "Rust is missing: install it with rustup, or from your distribution (1.95 or newer)" >&2
    exit 1
}
for component in rustfmt clippy; do
    cargo "$(echo $component | sed s/rust//)" --version >/dev/null 2>&1 ||
        rustup component add "$component" >&2
done

# What only the tests need.
[ "${1-}" = test ] || exit 0

# A real OpenID provider for tests/it/login.rs, in a folder outside of the tree.
oidc=${XDG_CACHE_HOME:-$HOME/.cache}/titan-tests/oidc
if ! cmp -s tests/oidc/package-lock.json "$oidc/installed.json"; then
    echo "installing an OpenID provider for the tests" >&2
    mkdir -p "$oidc"
    cp tests/oidc/package.json tests/oidc/package-lock.json "$oidc"
    (cd "$oidc" && npm ci --silent --no-audit --no-fund --ignore-scripts) >&2
    cp tests/oidc/package-lock.json "$oidc/installed.json"
fi

# A validator of OpenAPI documents and a property-based tester for tests/it/openapi.rs, beside it.
api=${XDG_CACHE_HOME:-$HOME/.cache}/titan-tests/api
if ! cmp -s tests/api/requirements.txt "$api/installed.txt" || ! "$api/bin/python" -c '' 2>/dev/null; then
    echo "installing a validator and a tester of OpenAPI for the tests" >&2
    python3 -m venv --clear "$api"
    "$api/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        -r tests/api/requirements.txt >&2
    "$api/bin/python" -m pip check --disable-pip-version-check >&2
    cp tests/api/requirements.txt "$api/installed.txt"
fi
