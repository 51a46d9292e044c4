"""What can be wrong with a job or its input: one class per cause.

Each class also derives from what a caller would already catch for that cause, carries the facts as fields, and survives
being pickled, because most of them are raised in a worker and caught in the parent. The command prints `str(error)` as
one line, so a message must stand alone: it names the job, or the file and where in the file.
"""

from __future__ import annotations

from typing import Any

from procession.errors import InputError, JobError

__all__ = [
    "InputBroken",
    "InputChanged",
    "InputNotText",
    "InputOutOfReach",
    "InputUnreadable",
    "JobFailed",
    "JobImportError",
    "JobIncomplete",
    "JobNotFound",
    "NoDecompressor",
    "NoInput",
]


class JobNotFound(JobError, LookupError):
    """There is no built-in job of that name, or the module has no such class."""


class JobImportError(JobError, ImportError):
    """The module or file that should hold the job cannot be imported; `__cause__` is what importing it raised."""


class JobIncomplete(JobError, TypeError):
    """What was named is not a job: it cannot be made without arguments, or has no `map` or no `reduce`."""


class JobFailed(JobError, RuntimeError):
    """A method of the job raised. `details` is the traceback as text, as it stood in the worker."""

    def __init__(self, message: str, details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.details)


class _Numbered(InputError):
    """An input error that the system has a number for: `errno`, `strerror` and `filename` as in any `OSError`."""

    def __init__(self, number: int | None, reason: str | None, path: str) -> None:
        super().__init__(number, reason, path)
        self.path: str = path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errno, self.strerror, self.path)


class NoInput(_Numbered, FileNotFoundError):
    """An argument names nothing: no such file, a pattern that matches none, a directory without a text file."""


class InputUnreadable(_Numbered):
    """A file is there but cannot be opened or read."""


class InputChanged(InputError):
    """A file is no longer what it was when the work was divided: its size, time or identity differ. `path` names it."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: changed while it was being read; the answer would mix two versions of it")
        self.path: str = path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)


class InputOutOfReach(InputError):
    """A worker on another machine has not the file that was divided here. `path`, `host` and `reason` say which, where
    and why."""

    def __init__(self, path: str, host: str, reason: str) -> None:
        super().__init__(
            f"{path}: a worker on {host} cannot read it ({reason}); each worker reads its own part, so the file must "
            "have the same path there: put it on a file system that the machines share, or send it along: "
            "procession mapreduce JOB - < FILE"
        )
        self.path: str = path
        self.host = host
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.host, self.reason)


class InputBroken(InputError):
    """A file does not hold what it begins as: compressed data that is damaged or cut short, CSV whose first record does
    not end. `path` names it, `reason` says what is wrong."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path: str = path
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)


class NoDecompressor(InputBroken):
    """A file is compressed in a way that this interpreter cannot read without another package; `reason` names it."""


class InputNotText(InputError, UnicodeError):
    """Bytes that are no text in the given encoding, met with `errors='strict'`.

    `path` and `offset` say where, `encoding` and `reason` what was expected. The offset is in bytes from the start of
    the file; of a compressed one (`unpacked`) from the start of what it unpacks to.
    """

    def __init__(self, path: str, offset: int, encoding: str, reason: str, unpacked: bool = False) -> None:
        of = " of what it unpacks to" if unpacked else ""
        super().__init__(
            f"{path}: byte {offset}{of} is not {encoding} ({reason}); "
            "choose another --encoding, or --errors replace to read on"
        )
        self.path: str = path
        self.offset = offset
        self.encoding = encoding
        self.reason = reason
        self.unpacked = unpacked

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.offset, self.encoding, self.reason, self.unpacked)
