#!/bin/sh
# Runs every test: installs the servers that the tests need, then `cargo test`. Arguments go to `cargo test`.
set -eu
cd "$(dirname -- "$0")/.."
tests/servers/install.sh
exec cargo test --locked "$@"
