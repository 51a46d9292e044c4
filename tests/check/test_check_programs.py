"""Whole programs, checked: those of `planted` have the mistakes that their heads name, those of `correct` have none.

At the head of a program:

    # METHODS: fork spawn forkserver thread     under which to run it; without this line, fork
    # EXPECT: race @ 12, 17                     a finding of this kind, with these lines among its places
    # EXPECT: lost-write @ write, read          the same, by marks: `# [write]` at the end of the line
    # ARGUMENTS: 3                              for the program

One run takes a second, so the suite takes each program under one of its methods; `make planted` under all of them.
A planted program has exactly the findings that it expects, one for each such line.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
EVERY_METHOD = bool(os.environ.get("PROCESSION_EVERY_METHOD"))  # `make planted`
MARK = re.compile(r"#.*\[([\w-]+)\]\s*$")


def head(path: Path, word: str) -> list[str]:
    return re.findall(rf"^# {word}: (.*)$", path.read_text(), re.MULTILINE)


def runs(folder: str) -> list[Any]:
    """Each program under one of its start methods, in turn; under each of them with PROCESSION_EVERY_METHOD."""
    cases = []
    for number, path in enumerate(sorted((HERE / folder).glob("*.py"))):
        methods = (head(path, "METHODS") or ["fork"])[0].split()
        for method in methods if EVERY_METHOD else [methods[number % len(methods)]]:
            cases.append(pytest.param(path, method, id=f"{path.stem}-{method}", marks=pytest.mark.slow))
    return cases


def check(path: Path, method: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, findings, and what else was printed."""
    arguments = " ".join(head(path, "ARGUMENTS")).split()
    command = [sys.executable, "-m", "procession", "check", "--json", "--method", method, str(path), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=40)
    try:
        return ended.returncode, json.loads(ended.stdout)["findings"], ended.stderr
    except ValueError:
        raise AssertionError(f"{ended.returncode}\n{ended.stdout}\n{ended.stderr}") from None


def expected(path: Path) -> list[tuple[str, set[int]]]:
    marks = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if match := MARK.search(line):
            marks[match[1]] = number
    wanted = []
    for text in head(path, "EXPECT"):
        kind, _, lines = text.partition("@")
        names = [name.strip() for name in lines.split(",") if name.strip()]
        wanted.append((kind.strip(), {int(name) if name.isdigit() else marks[name] for name in names}))
    return wanted


def lines_of(finding: dict[str, Any], path: Path) -> set[int]:
    return {place["line"] for place in finding["places"] if Path(place["file"]).name == path.name}


@pytest.mark.parametrize(("path", "method"), runs("planted"))
def test_planted(path: Path, method: str) -> None:
    status, findings, printed = check(path, method)
    found = [(finding["kind"], lines_of(finding, path)) for finding in findings]
    unmet, surplus = expected(path), list(found)
    assert unmet, f"{path.name} expects nothing"
    for want in list(unmet):
        for finding in surplus:
            if finding[0] == want[0] and want[1] <= finding[1]:
                unmet.remove(want)
                surplus.remove(finding)
                break
    assert (unmet, surplus) == ([], []), f"\n{json.dumps(findings, indent=1)}\n{printed}"
    assert status == 3


@pytest.mark.parametrize(("path", "method"), runs("correct"))
def test_correct(path: Path, method: str) -> None:
    status, findings, printed = check(path, method)
    assert findings == [], f"\n{json.dumps(findings, indent=1)}\n{printed}"
    assert status == 0, printed
