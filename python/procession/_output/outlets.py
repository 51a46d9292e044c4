"""Where the lines and log records of children go: the parent's own streams and loggers, or a function.

`sys.stdout` and `sys.stderr` are looked up each time: whatever the program, a notebook or a test has put there gets the
lines, and live progress bars make way for them. A stream that is closed, or whose reader has left (`| head`), gets
nothing more; that must not keep children from writing, nor end the thread that serves them all.
"""

from __future__ import annotations

import logging
import sys
import threading
import time

from . import logs

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .source import Source

__all__ = ["outlet", "report"]


def outlet(given: bool | Callable[[Any], object]) -> Any:
    """What `forward_output=` asks for."""
    return Printing() if given is True else Calling(given)  # type: ignore[arg-type]


class Printing:
    """Prints lines with their process's name in front."""

    def lines(self, source: Source, stream: str, lines: list[str]) -> None:
        """Print whole lines, in one call."""
        front = f"[{source.name}] "
        text = "\n".join([front + line for line in lines])
        if "\r" in text:  # what redraws its line, as progress bars do, would draw over the name
            text = text.replace("\r", f"\r{front}")
        _write(stream, text + "\n")

    def record(self, source: Source, record: logging.LogRecord) -> None:
        """Have this process's logger handle a record; where nobody set one up, print it as logging would."""
        try:
            if not logs.handle(record) and record.levelno >= logging.WARNING:
                text = f"{record.getMessage()}\n{record.exc_text}" if record.exc_text else record.getMessage()
                self.lines(source, "stderr", text.split("\n"))
        except Exception:
            report()


class Calling:
    """Calls a function with each line."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        from .line import Line  # here, in the caller's thread: a fork in the middle of an import would be a pity

        self._function, self._line = function, Line

    def lines(self, source: Source, stream: str, lines: list[str]) -> None:
        """Call it for each."""
        now = time.time()
        for text in lines:
            self._call(source, stream, text, now, None)

    def record(self, source: Source, record: logging.LogRecord) -> None:
        """Call it; the loggers here are not troubled."""
        self._call(source, "log", logs.shown(record), record.created, record)

    def _call(self, source: Source, stream: str, text: str, when: float, record: logging.LogRecord | None) -> None:
        try:
            self._function(self._line(source.name, source.pid, stream, text, when, record))
        except Exception:
            report()


def _write(stream: str, text: str) -> None:
    """Write whole lines to one of this process's streams, above its live bars."""
    file = getattr(sys, stream)
    if file is None:
        return
    progress: Any = sys.modules.get("procession.progress")
    try:
        try:
            _put(progress, file, text)
        except UnicodeEncodeError:  # before anything was written
            encoding = getattr(file, "encoding", None) or "ascii"
            _put(progress, file, text.encode(encoding, "backslashreplace").decode(encoding))
    except (OSError, ValueError):
        pass  # see above
    except Exception:
        report()


def _put(progress: Any, file: Any, text: str) -> None:
    if progress is not None:
        progress.write(text, file)
    else:
        file.write(text)
        file.flush()


def report() -> None:
    """Tell of an exception in what the program gave, as of one that ends a thread; this one goes on."""
    kind, error, trace = sys.exc_info()
    assert kind is not None
    threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))
