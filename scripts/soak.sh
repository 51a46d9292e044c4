#!/bin/sh
# The whole Python suite again and again for so many seconds; ends at the first failure: sh scripts/soak.sh PYTHON 120
python=$1
end=$(($(date +%s) + ${2:-120}))
rounds=0
while [ "$(date +%s)" -lt "$end" ]; do
    "$python" -m pytest -q -x || exit 1
    rounds=$((rounds + 1))
done
echo "$rounds rounds without a failure"
