#!/bin/sh
# The core under miri, which finds undefined behaviour. Needs: rustup toolchain install nightly --component miri
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "make miri needs a nightly toolchain with miri: rustup toolchain install nightly --component miri" >&2
    exit 1
fi
# -Zmiri-disable-isolation: the core asks the system for the time and its own pid.
# -Zmiri-permissive-provenance: shared memory is addressed by offset, so pointers are made from integers.
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-permissive-provenance"
export CARGO_TARGET_DIR=target/miri
# Only the unit tests: integration tests fork, map files and wait on futexes across processes, which miri cannot do.
exec cargo +nightly miri test -p procession-core --lib
