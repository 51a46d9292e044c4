"""Every command but `run`: arguments in, one call into the library, the outcome printed.

Answers go to standard output, everything else to standard error, so that a pipe carries the answer alone. What a user
can cause ends in one line and an exit code, never in a traceback; the one traceback shown is that of a user's own code.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from procession.cli.benching import add_bench
from procession.cli.checking import add_check
from procession.cli.doctoring import add_doctor
from procession.cli.mapping import add_map
from procession.cli.ps import add_ps
from procession.cli.reducing import add_mapreduce
from procession.cli.reporting import add_report
from procession.cli.running import add_run
from procession.cli.shared import (
    EXIT_FAILED,
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    EXIT_PIPE_CLOSED,
    EXIT_USAGE,
    begin_timeline,
    complain,
)
from procession.cli.signals import EXIT_TERMINATED, Terminated, terminable
from procession.cli.top import add_top
from procession.errors import (
    CheckpointMismatch,
    InputError,
    JobError,
    NotACheckpoint,
    NotARecording,
    NotATrace,
    ProcessionError,
)
from procession.mapreduce.errors import JobFailed

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments (those of the process, if None) and returns its exit code."""
    stand_in()
    options = parser().parse_args(arguments)
    try:
        begin_timeline(options, list(arguments or sys.argv[1:]))
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
    except JobFailed as error:
        print(error.details, end="", file=sys.stderr)
        return complain(str(error), EXIT_FAILED)
    except JobError as error:
        return complain(str(error), EXIT_USAGE)
    except InputError as error:
        return complain(input_message(error), EXIT_INPUT)
    except (CheckpointMismatch, NotACheckpoint, NotARecording, NotATrace) as error:
        return complain(str(error), EXIT_USAGE)
    except ProcessionError as error:
        return complain(f"{type(error).__name__}: {error}", EXIT_FAILED)
    except (ValueError, LookupError) as error:
        return complain(str(error), EXIT_USAGE)
    except (OSError, MemoryError) as error:
        let_go_of_output()
        return complain(f"{type(error).__name__}: {error}", EXIT_FAILED)
    return code


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


def input_message(error: InputError) -> str:
    """`path: what is wrong`, without the number an OSError prints."""
    return f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)


def parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    whole = argparse.ArgumentParser(prog="procession", description="Shared-memory multiprocessing: its commands.")
    whole.add_argument("--version", action="version", version=f"procession {version('procession')}")
    commands = whole.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_mapreduce(commands)
    add_map(commands)
    add_run(commands)
    add_check(commands)
    add_report(commands)
    add_ps(commands)
    add_top(commands)
    add_doctor(commands)
    add_bench(commands)
    return whole
