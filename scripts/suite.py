"""The package's tests, in as many pytest processes as there are processors, two at most: python scripts/suite.py

The first one's progress is shown as it comes, the other's output when it has ended; last come a line for both and the
worst of their exit codes. With arguments (files, `-x`, `-k`) it is one plain pytest. `tests/sharing.py` says who runs
what.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

MOST = 2  # more was not tried
PYTEST = [sys.executable, "-m", "pytest", "-q"]


def main(arguments: list[str]) -> int:
    count = min(MOST, len(os.sched_getaffinity(0)))
    if arguments or count == 1:
        os.execv(PYTEST[0], [*PYTEST, *arguments])
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="procession-suite-") as folder:
        claims = Path(folder, "claims")
        claims.mkdir()
        outputs = [Path(folder, f"output-{number}") for number in range(count)]
        parts = [_begin(claims, output) for output in outputs]
        try:
            _follow(parts[0], outputs[0])
        finally:
            codes = [part.wait() for part in parts]  # Ctrl-C is for all of them
        texts = [output.read_text(errors="replace") for output in outputs]
    print("".join(texts[1:]), end="")
    print(closing_line([text.rstrip().rpartition("\n")[2] for text in texts], time.monotonic() - start))
    return max(codes, key=abs)


def _begin(claims: Path, output: Path) -> subprocess.Popen[bytes]:
    with open(output, "wb") as file:
        return subprocess.Popen([*PYTEST, f"--claims={claims}"], stdout=file, stderr=file)


def _follow(part: subprocess.Popen[bytes], output: Path) -> None:
    """Print what a process writes, until it has ended."""
    with open(output, errors="replace") as file:
        has_ended = False
        while not has_ended:
            time.sleep(0.5)
            has_ended = part.poll() is not None
            print(file.read(), end="", flush=True)


def closing_line(lines: list[str], seconds: float) -> str:
    """What pytest says last, for all: `1 failed, 20 passed, 2 skipped in 3.21s`."""
    counts: Counter[str] = Counter()
    for line in lines:
        for count, what in re.findall(r"(\d+) ([a-z]+)", line.rpartition(" in ")[0]):
            counts[what] += int(count)
    return f"{', '.join(f'{count} {what}' for what, count in counts.items()) or 'no tests ran'} in {seconds:.2f}s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
