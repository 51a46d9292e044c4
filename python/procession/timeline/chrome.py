"""Traces as files: written an event at a time, and read back the same way.

Ours have one event on each line, so that reading one needs no more memory than its longest line; any other file in the
format is read as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from ..errors import NotATrace
from .events import Event, Run

__all__ = ["Source", "replacing", "source_of", "write"]

_WHOLE = "recorded by"
_NOT_ONE = (ValueError, LookupError, TypeError, RecursionError)  # of what is no JSON, no text, or other JSON


class Source(Protocol):
    """What a report is made of."""

    @property
    def about(self) -> dict[str, Any]:
        """The run as a whole."""

    def events(self) -> Iterator[Event]:
        """What happened."""


def write(run: Source, file: IO[str]) -> None:
    """Write a trace."""
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
    file.write(f'{{"displayTimeUnit":"ms","otherData":{encode(run.about)},"traceEvents":[\n')
    comma = ""
    for event in run.events():
        file.write(comma + encode(event))
        comma = ",\n"
    file.write("\n]}\n")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """A text file that takes the place of `path` when all is written; after an error there is no trace of it."""
    path = Path(path)
    if path.exists() and not path.is_file():  # a device, a pipe
        with open(path, "w", encoding="utf-8") as file:
            yield file
        return
    descriptor, passing = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(passing, 0o666 & ~umask)
        os.replace(passing, path)
    except BaseException:
        os.unlink(passing)
        raise


class _Trace:
    """A trace in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._events: list[Event] | None = None
        try:
            with open(path, encoding="utf-8") as file:
                head = file.readline()
            self.about: dict[str, Any] = json.loads(head.rstrip("\n") + "]}")["otherData"]
        except _NOT_ONE:
            self._read_whole()

    def _read_whole(self) -> None:
        try:
            whole = json.loads(self._path.read_text(encoding="utf-8"))
            self.about, self._events = whole["otherData"], whole["traceEvents"]
        except _NOT_ONE:
            self.about = {}
        if not isinstance(self.about, dict) or _WHOLE not in self.about or not isinstance(self._events, list):
            raise NotATrace(f"{self._path}: no trace that `procession run --trace` wrote")

    def events(self) -> Iterator[Event]:
        """What happened. Raises: NotATrace where the file breaks off."""
        if self._events is not None:
            yield from self._events
            return
        with open(self._path, encoding="utf-8") as file:
            file.readline()
            for line in file:
                text = line.rstrip(",\n")
                if text == "]}":
                    return
                if text:
                    try:
                        yield json.loads(text)
                    except _NOT_ONE:
                        break
        raise NotATrace(f"{self._path}: the trace breaks off; it was not written to its end")


def source_of(path: str | os.PathLike[str]) -> Source:
    """A recording if it is a directory, a trace otherwise. Raises: NotARecording, NotATrace, OSError."""
    path = Path(path)
    if path.is_dir():
        return Run(path)
    trace = _Trace(path)
    if _WHOLE not in trace.about:
        raise NotATrace(f"{path}: no trace that `procession run --trace` wrote")
    return trace
