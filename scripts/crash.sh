#!/bin/sh
# Kills processes at random instructions for so many seconds, in the core and through Python:
#     sh scripts/crash.sh .venv/bin/python 120
python=$1
export CRASH_SECONDS="${2:-120}"
status=0
if [ -f crates/core/tests/crash.rs ]; then
    cargo test --release -p procession-core --test crash -- --include-ignored --nocapture || status=1
fi
if [ -d tests/crash ]; then
    "$python" -m pytest -q tests/crash || status=1
fi
exit $status
