"""CPython's own tests of multiprocessing in check mode: correct programs, in which nothing may be found.

    python scripts/check_conformance.py [--context fork] [--only REGEX] ...

The options are those of `python -m conformance`. Prints every finding, with the directory of its class; exit code 1 if
there are some that are not expected, else that of the tests.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from procession.check.analyses import analyse
from procession.check.report import render

ROOT = Path(__file__).resolve().parents[1]

# Mistakes that these tests make on purpose, or that are of no matter in a test: kind, function, and why.
EXPECTED: dict[tuple[str, str], str] = {}


def main() -> int:
    """Run the tests, then look through what each class left."""
    with tempfile.TemporaryDirectory(prefix="check-conformance-") as directory:
        command = [sys.executable, "-m", "conformance", *sys.argv[1:]]
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, "CONFORMANCE_CHECK": directory}).returncode
        classes = sorted(Path(directory).iterdir())
        unexpected = sum(_report(path) for path in classes)
    print(f"{len(classes)} classes in check mode, {unexpected} findings that are not expected")
    return 1 if unexpected else status


def _report(path: Path) -> int:
    result = analyse(str(path))
    for failure in result.failures:
        print(failure)
    surplus = [
        finding
        for finding in result.findings
        if not any((finding.kind, place.function) in EXPECTED for place in finding.places)
    ]
    print(render(surplus), end="")
    return len(surplus) + len(result.failures)


if __name__ == "__main__":
    sys.exit(main())
