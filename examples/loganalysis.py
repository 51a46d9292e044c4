"""Who asks most, and when things fail: the logs of a web server, plain or compressed, read on all cores.

    python examples/loganalysis.py                                  # makes a log to try it on, in a temporary folder
    python examples/loganalysis.py /var/log/nginx/access.log*       # yours: Apache's and nginx's usual format

It shows: `map_reduce_by_key` over `Files`. Each worker reads its own stretches of the files, of whole lines, and what
it counts is added up where it arises; the text never passes through this process, and memory holds the answer, not the
logs. Several questions are answered in one reading by keys that say which one they belong to.
"""

import argparse
import gzip
import random
import re
import tempfile
from collections import Counter
from pathlib import Path

import procession
from procession.mapreduce import Files

# 203.0.113.7 - - [28/Nov/2026:13:55:36 +0000] "GET /index.html HTTP/1.1" 200 2326
LINE = re.compile(r'^(\S+) \S+ \S+ \[([^:]+:\d\d)[^]]*\] "(?:[^"\\]|\\.)*" (\d{3}) ', re.MULTILINE)


def count(text: str) -> Counter[tuple[str, str]]:
    """How often each key occurs in some lines of a log."""
    found = LINE.findall(text)
    counts = Counter(("address", address) for address, _, _ in found)
    counts.update(("error at", hour) for _, hour, status in found if status >= "500")
    counts["line", "read"] = len(found)
    counts["line", "not understood"] = len(text.splitlines()) - len(found)
    return counts


def make_sample(folder: Path) -> list[Path]:
    """Two days, the first compressed: a few busy addresses, an hour in which the database was down."""
    draw, files = random.Random(8), [folder / "access.log.1.gz", folder / "access.log"]
    for day, path in enumerate(files, 27):
        lines = []
        for second in range(0, 86_400, 4):
            address = f"203.0.113.{int(draw.paretovariate(1)) % 256}"
            time = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
            is_down = day == 28 and time.startswith("14")
            status = 503 if draw.random() < (0.3 if is_down else 0.001) else 200
            lines.append(f'{address} - - [{day}/Nov/2026:{time} +0000] "GET /page HTTP/1.1" {status} 2326\n')
        lines.append("203.0.113.1 - - [28/No")  # as a server that is killed leaves it
        written = "".join(lines).encode()
        path.write_bytes(gzip.compress(written) if path.suffix == ".gz" else written)
        print("made", path.name)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*", type=Path)
    parser.add_argument("--workers", type=int, help="default: as many as there are CPUs")
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread, dask, ray (default: Python's own)")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder, procession.get_context(args.engine) as context:
        files = Files(*(args.logs or make_sample(Path(folder))), errors="replace")
        with context.Pool(args.workers) as pool, pool.map_reduce_by_key(count, files, "count") as counts:
            for kind in ("line", "address", "error at"):
                ranked = sorted(((number, key) for (of, key), number in counts.items() if of == kind), reverse=True)
                for number, key in ranked[:5]:
                    print(f"{number:8,}  {kind} {key}")


if __name__ == "__main__":
    main()
