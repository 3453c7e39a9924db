#!/bin/sh
# Runs every test: installs the servers that the tests need, then `cargo test`. Arguments go to `cargo test`.
set -eu
cd "$(dirname -- "$0")/.."
tests/servers/install.sh

# Temporary directories lie in memory where there is room for them and programs may run there: git makes each of its objects durable, and
# on a disk the tests would mostly wait for that.
memory=/dev/shm
if [ -z "${TMPDIR:-}" ] && [ -w "$memory" ] \
    && [ "$(df -Pk "$memory" | awk 'NR == 2 { print $4 }')" -ge 2000000 ]; then
    TMPDIR=$(mktemp -d "$memory/pkgs-test.XXXXXX")
    chmod 711 "$TMPDIR" # one test runs as another user, below it
    trap 'rm -rf "$TMPDIR"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\n' >"$TMPDIR/program"
    chmod +x "$TMPDIR/program"
    if "$TMPDIR/program" 2>/dev/null; then export TMPDIR; else rm -rf "$TMPDIR"; unset TMPDIR; trap - EXIT; fi
fi
cargo test --locked "$@"
