"""One workload with one rival in a fresh interpreter: `python -m benchmarks.child WORKLOAD RIVAL SCALE`.

Prints one line of JSON, the costs or the name that is missing. Anything else that goes wrong is a traceback and an exit
code, which the runner reports.
"""

from __future__ import annotations

import json
import sys

from benchmarks.model import Missing, Scale
from benchmarks.rivals import load
from benchmarks.workloads import ALL


def main() -> None:
    workload, rival, scale = ALL[sys.argv[1]], sys.argv[2], Scale(**json.loads(sys.argv[3]))
    try:
        answer = {"costs": workload.run(load(rival), scale)}
    except Missing as missing:
        answer = {"missing": str(missing)}  # type: ignore[dict-item]
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
