"""One workload with one rival in a fresh interpreter: `python -m benchmarks.mapreduce.child WORKLOAD RIVAL INPUT`.

Prints a line of JSON as soon as the answer has been looked at, then one with the digest of the whole answer (with
`--digest`). Modules are imported before the clock starts; processes and threads are started while it runs.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.mapreduce.digest import digest
from benchmarks.mapreduce.family import cpu_seconds
from benchmarks.mapreduce.model import TOP, WORKLOADS
from benchmarks.mapreduce.rivals import load
from benchmarks.model import Missing


def main() -> None:
    workload, rival, path = WORKLOADS[sys.argv[1]], sys.argv[2], Path(sys.argv[3])
    try:
        function = load(rival, workload.name)
    except Missing as missing:
        print(json.dumps({"missing": str(missing)}), flush=True)
        return
    gc.collect()
    used, started = cpu_seconds(os.getpid()), time.perf_counter()
    with function(path) as answer:
        entries, top = len(answer), answer.top(TOP)
        found = [answer.get(key) is not None for key in workload.looked_up]
        seconds = time.perf_counter() - started
        said = {"seconds": seconds, "cpu_seconds": cpu_seconds(os.getpid()) - used, "entries": entries}
        print(json.dumps(said | {"top": len(top), "found": sum(found)}), flush=True)
        if "--digest" in sys.argv:
            print(json.dumps({"digest": digest(answer.items())}), flush=True)


if __name__ == "__main__":
    main()
