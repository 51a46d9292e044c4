#!/bin/sh
# Random kills over pools, queues and locks, and of programs that meet at files, for half of so many seconds, then the
# whole Python suite again and again for the other half; ends at the first failure: sh scripts/soak.sh PYTHON 120
python=$1
seconds=${2:-120}
"$python" scripts/soak.py $((seconds / 3)) $CRASH_SEED || exit 1
"$python" scripts/meeting_kills.py $((seconds / 6)) $CRASH_SEED || exit 1
end=$(($(date +%s) + seconds / 2))
rounds=0
while [ "$(date +%s)" -lt "$end" ]; do
    "$python" -m pytest -q -x || exit 1
    rounds=$((rounds + 1))
done
echo "$rounds rounds of the suite without a failure"
