"""Every command but `run` and `check`: arguments in, one call into the library, the outcome printed.

Answers go to standard output, everything else to standard error, so that a pipe carries the answer alone. What a user
can cause ends in one line and an exit code, never in a traceback; the one traceback shown is that of a user's own code.
"""

from __future__ import annotations

import importlib
import os
import sys

from procession.cli.arguments import Parser
from procession.cli.catalogue import command
from procession.cli.codes import (
    EXIT_FAILED,
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    EXIT_PIPE_CLOSED,
    EXIT_TERMINATED,
    EXIT_USAGE,
)
from procession.cli.shared import begin_timeline, complain
from procession.cli.signals import Terminated, terminable
from procession.errors import (
    CheckpointMismatch,
    InputError,
    JobError,
    NotACheckpoint,
    NotARecording,
    NotATrace,
    ProcessionError,
)

__all__ = ["execute", "parser_of"]


def parser_of(name: str) -> Parser:
    """The arguments of a command that lets argparse read them."""
    found = command(name)
    assert found is not None, name
    parser: Parser = importlib.import_module(f"procession.cli.{found.module}").parser()
    return parser


def execute(name: str, arguments: list[str]) -> int:
    """Runs a command with these arguments and returns its exit code. Raises SystemExit for help and wrong usage."""
    stand_in()
    try:
        options = parser_of(name).parse_args(arguments)
        begin_timeline(options, [name, *arguments])
        with terminable():
            code: int = options.command(options)
            sys.stdout.flush()
    except Terminated:
        return complain("terminated", EXIT_TERMINATED)
    except KeyboardInterrupt:
        return complain("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        let_go_of_output()  # whoever read it has had enough
        return EXIT_PIPE_CLOSED
    except Exception as error:
        return _told(error)
    return code


def _told(error: Exception) -> int:
    """An error in one line, and the exit code that it means. Raises it, if it is none that a user can cause."""
    if isinstance(error, JobError):
        print(getattr(error, "details", ""), end="", file=sys.stderr)  # the traceback of a user's own code
        return complain(str(error), EXIT_FAILED if hasattr(error, "details") else EXIT_USAGE)
    if isinstance(error, (InputError, NotARecording, NotATrace)):
        return complain(_without_number(error), EXIT_INPUT)
    if isinstance(error, (CheckpointMismatch, NotACheckpoint)):
        return complain(str(error), EXIT_USAGE)
    if isinstance(error, ProcessionError):
        return complain(f"{type(error).__name__}: {error}", EXIT_FAILED)
    if isinstance(error, (ValueError, LookupError)):
        return complain(str(error), EXIT_USAGE)
    if isinstance(error, OSError):
        let_go_of_output()
        return complain(_without_number(error), EXIT_FAILED)
    if isinstance(error, MemoryError):
        return complain(f"MemoryError: {error}".rstrip(": "), EXIT_FAILED)
    raise error


def _without_number(error: Exception) -> str:
    """`path: what is wrong`, without the number that an OSError prints."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return getattr(error, "strerror", None) or str(error)


def let_go_of_output() -> None:
    """Standard output may have failed: one that cannot be flushed is replaced, or closing it would fail, and change the
    exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stand_in() -> None:
    """Opens the null device for each standard stream that is closed, or the next file opened would take its place."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
