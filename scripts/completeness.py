"""Every public name has a type that is declared and a docstring: pyright's completeness check of the whole package.

    python scripts/completeness.py

It is basedpyright that is asked, which PyPI has and which brings its own node: pyright itself comes by npm. It takes
the package from where the first `python3` on the PATH finds it, whatever `--pythonpath` says; so this interpreter's
folder goes in front. What is another package's does not count (`--ignoreexternal`).

Prints each name that lacks something, with what, and ends with 1 if there is one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COUNTS = ("missingFunctionDocStringCount", "missingClassDocStringCount", "missingDefaultParamCount")


def report(package: str = "procession") -> dict[str, Any]:
    """What the check says of an installed package. Raises: RuntimeError when it could not look."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "basedpyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"]
    with tempfile.TemporaryDirectory() as elsewhere:  # so that no configuration of the repository's is read
        done = subprocess.run(
            command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
    try:
        found: dict[str, Any] = json.loads(done.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        raise RuntimeError(f"basedpyright said nothing that can be read: {done.stdout}{done.stderr}") from None
    if "pyTypedPath" not in found:
        raise RuntimeError(f"basedpyright found no package {package!r} that is typed")
    return found


def lacking(found: dict[str, Any]) -> list[str]:
    """A line for each name that lacks a type or a docstring."""
    lines = []
    for symbol in found["symbols"]:
        for diagnostic in symbol["diagnostics"]:
            lines.append(f"{symbol['name']}: {' '.join(diagnostic['message'].split())}")
        if not symbol["diagnostics"] and (not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]):
            lines.append(f"{symbol['name']}: its type rests on one that is not known")
    return sorted(set(lines))


def main() -> int:
    """Look, and tell."""
    found = report()
    lines = lacking(found)
    print(*lines, sep="\n", end="\n" if lines else "")
    known, missing = found["completenessScore"], {name: found[name] for name in COUNTS}
    print(
        f"{known:.2%} of the types of {sum(found['exportedSymbolCounts'].values())} public names are known; {missing}"
    )
    return int(bool(lines) or known < 1 or any(missing.values()))


if __name__ == "__main__":
    sys.exit(main())
