#!/bin/sh
# Kills processes, in the core and through Python, for so many seconds:
#     sh scripts/crash.sh .venv/bin/python 120
# First at every numbered step of every operation, then at random moments; CRASH_SEED repeats the choices of a storm.
# In the end (a minute more): how soon the death of who holds something is noticed.
python=$1
seconds=${2:-120}
export CRASH_SECONDS=$((seconds / 3))
status=0
cargo test --release -p procession-core --test steps --test steps_locks -- --nocapture || status=1
cargo test --release -p procession-core --test crash -- --include-ignored --nocapture || status=1
cargo test --release -p procession-disk --test crash -- --include-ignored --nocapture || status=1
"$python" scripts/deaths.py || status=1
"$python" scripts/soak.py $((seconds / 4)) $CRASH_SEED || status=1
"$python" scripts/crash.py $((seconds / 4)) $CRASH_SEED || status=1
"$python" scripts/crash_joinable.py $((seconds / 4)) $CRASH_SEED || status=1
# Then whole families: the parent is killed, and nobody and nothing may be left.
"$python" scripts/family.py $((seconds / 10)) || status=1
"$python" scripts/abandoned.py 100 || status=1
"$python" scripts/storm_pool.py $CRASH_SEED || status=1
exit $status
