"""The list of what may differ: `differences.txt`, a line for each difference.

    PATTERN  METHODS  REASON

PATTERN is matched against `suite.Class.test` as a file name would be; METHODS is `all` or start methods with commas,
and a version after `@` restricts it (`spawn@3.13`). A difference that in truth passes is an error: the line is stale.
Where a test races with itself, a question mark says that it may pass too (`all?@3.11`).
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .runner import Result
from .suites import METHODS

FILE = Path(__file__).with_name("differences.txt")
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass
class Difference:
    """One line, with the start methods for which a matching test was run, and those for which one was not good."""

    pattern: str
    methods: tuple[str, ...]
    reason: str
    line: int
    may_pass: tuple[str, ...] = ()
    tried: set[str] = field(default_factory=set)
    needed: set[str] = field(default_factory=set)

    def covers(self, result: Result) -> bool:
        return result.method in self.methods and fnmatch.fnmatchcase(result.id, self.pattern)

    def stale(self) -> set[str]:
        """Start methods for which the line is no longer true."""
        return self.tried - self.needed - set(self.may_pass)


def _methods(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The start methods, and those of them for which the tests may pass as well."""
    chosen, may_pass = [], []
    for entry in text.split(","):
        name, _, version = entry.partition("@")
        name, doubt = name.removesuffix("?"), name.endswith("?")
        if name != "all" and name not in METHODS:
            raise ValueError(f"{name!r} is no start method")
        if not version or version == VERSION:
            meant = METHODS if name == "all" else (name,)
            chosen += meant
            may_pass += meant if doubt else ()
    return tuple(chosen), tuple(may_pass)


def read(text: str) -> list[Difference]:
    """The lines of the list.

    Raises: ValueError for a line without a reason or with an unknown start method, with its number.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            pattern, methods, reason = line.split(None, 2)
            chosen, may_pass = _methods(methods)
            found.append(Difference(pattern, chosen, reason, number, may_pass))
        except ValueError as error:
            raise ValueError(f"{FILE.name}:{number}: {error}: {line!r}") from None
    return found


def load() -> list[Difference]:
    return read(FILE.read_text())


def expected(result: Result, differences: Iterable[Difference]) -> bool:
    """Whether a result that is not good is on the list; notes in the list what it was needed for."""
    covering = [difference for difference in differences if difference.covers(result)]
    for difference in covering:
        difference.tried.add(result.method)
        if not result.good:
            difference.needed.add(result.method)
    return bool(covering) and not result.good
