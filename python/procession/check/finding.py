"""What is found: a mistake in the user's program, the places in it that make it one, and the lines to write instead.

Plain data, for print, for JSON and for tests. Analyses make findings in two ways:

- after the run, from what was recorded: a module of this folder with `find(directory) -> list[Finding]`;
- during the run, in the process that has just seen the mistake: `note(finding)` appends a line of JSON to a file of
  this process in the directory of the run. It survives the death of the process, kill -9 included.

A site is `"/full/path/bank.py:12 in deposit"`, as everywhere in this package; `Place.at` takes one apart.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
from dataclasses import asdict, dataclass, field
from glob import escape, glob

from .._sites import split_site

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["DIRECTORY_VARIABLE", "KINDS", "Finding", "Place", "directory", "merged", "note", "noted"]

DIRECTORY_VARIABLE = "PROCESSION_CHECK"  # inherited by all processes of a checked program

KINDS = {
    "race": "two touch the same memory, one writes, and nothing orders them",
    "lost-update": "a value is read and written back with no lock around both",
    "lost-write": "a child changes what only it has, and its parent reads it",
    "deadlock": "each waits for another, in a circle",
    "nobody-can-fill": "waiting for something that nobody can deliver any more",
    "lock-order": "locks are taken in two orders: a deadlock on another day",
    "lock-at-exit": "a process ended while it held a lock",
    "lock-across-fork": "a child was forked while another thread held a lock that the child uses",
    "never-joined": "a child was started and never waited for",
    "copies": "the same large object is sent again and again",
}


@dataclass(frozen=True)
class Place:
    """Where, in the user's program, and by whom something was done."""

    role: str
    """What was done here, as a verb phrase: "writes", "acquires", "waits for the queue"."""
    file: str = ""
    """The file's full path; "" when it is not known."""
    line: int = 0
    """From 1; 0 when it is not known."""
    function: str = ""
    source: str = ""
    """The line's text without indentation."""
    process: str = ""
    """Name and pid: "worker-1, pid 4121"."""
    thread: str = ""
    """The thread's name; "" for the main thread."""
    stack: tuple[str, ...] = ()
    """Sites of the user's frames, the innermost (this place) first."""

    @classmethod
    def at(
        cls, role: str, site: str, *, process: str = "", thread: str = "", stack: Iterable[str] = (), source: str = ""
    ) -> Place:
        """A place from a site; one that cannot be taken apart gives a place without file and line."""
        file, line, function = split_site(site)
        if not file:
            return cls(role, function=site, process=process, thread=thread, stack=tuple(stack))
        text = source or linecache.getline(file, line).strip()
        return cls(role, file, line, function, text, process, thread, tuple(stack))

    @property
    def site(self) -> str:
        """The place as a site; "" when it is not known."""
        if not self.file:
            return self.function
        return f"{self.file}:{self.line}" + (f" in {self.function}" if self.function else "")


@dataclass(frozen=True)
class Finding:
    """One mistake."""

    kind: str
    """One of `KINDS`."""
    title: str
    """One plain sentence without a full stop that names the thing: "balance is changed by two processes at once"."""
    places: tuple[Place, ...] = ()
    """The most telling first."""
    advice: tuple[str, ...] = ()
    """Lines to write instead: program text, or sentences that begin with "# "."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further facts, for JSON: names, sizes in bytes, times in seconds."""
    count: int = 1
    """How often it was seen."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What two sightings of the same mistake have in common."""
        return self.kind, tuple(sorted((place.file, place.line) for place in self.places))

    def as_json(self) -> dict[str, Any]:
        """Plain values, as docs/guides/check.md describes them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Finding:
        """The inverse of `as_json`. Raises: TypeError, KeyError for anything else."""
        places = tuple(Place(**{**place, "stack": tuple(place["stack"])}) for place in values["places"])
        return cls(**{**values, "places": places, "advice": tuple(values["advice"])})


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Each mistake once, in the order of first sight, with the number of sightings."""
    from dataclasses import replace

    by_key: dict[Any, Finding] = {}
    for finding in findings:
        known = by_key.get(finding.key)
        by_key[finding.key] = finding if known is None else replace(known, count=known.count + finding.count)
    return list(by_key.values())


# Findings noted during the run


def directory() -> str | None:
    """The directory of this run in check mode; None when nothing is checked."""
    return os.environ.get(DIRECTORY_VARIABLE) or None


def note(finding: Finding, into: str | None = None) -> None:
    """Keep a finding for the report at the end of the run, in `into` or the run's directory; without one, do nothing.

    One write of one line: whole, or not there. A directory that has been removed meanwhile is no error.
    """
    place = into or directory()
    if place is None:
        return
    line = json.dumps(finding.as_json()) + "\n"
    path = os.path.join(place, f"findings-{os.getpid()}.jsonl")
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)


def noted(directory: str) -> list[Finding]:
    """What the processes of a run have noted. A line that was cut off by a death is left out."""
    found = []
    for path in sorted(glob(os.path.join(escape(directory), "findings-*.jsonl"))):
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    found.append(Finding.from_json(json.loads(line)))
    return found
