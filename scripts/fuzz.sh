#!/bin/sh
# Every fuzz target for so many seconds each: sh scripts/fuzz.sh 120
seconds=${1:-120}
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "make fuzz needs a nightly toolchain and cargo-fuzz: rustup toolchain install nightly; cargo install cargo-fuzz" >&2
    exit 1
fi
if [ ! -d fuzz ]; then
    echo "there is no fuzz target yet (folder fuzz/)" >&2
    exit 1
fi
for target in $(cargo +nightly fuzz list); do
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" || exit 1
done
