"""What every command needs: messages of one line, arguments that several have, and where an answer goes."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

import procession
from procession.cli.arguments import whole
from procession.cli.mistakes import meant
from procession.cli.programs import METHODS
from procession.progress.words import counted

if TYPE_CHECKING:
    from procession.checkpoint import Checkpoint

__all__ = [
    "ENGINES",
    "ERRORS",
    "add_checkpoint",
    "add_timeline",
    "add_workers",
    "begin_timeline",
    "checkpoint_of",
    "columns",
    "complain",
    "context_of",
    "counted",
    "output",
]

ENGINES = (*METHODS, "dask", "ray")
ERRORS = ("strict", "replace", "ignore")  # what becomes of bytes that are no text


def complain(message: str, code: int) -> int:
    """Says in one line what is wrong."""
    print(f"procession: {' '.join(message.split())}", file=sys.stderr)
    return code


def columns(least: int = 40) -> int:
    """How wide to print: as the terminal, 80 where it is none that could tell, and `least` in one too narrow."""
    return max(shutil.get_terminal_size((80, 24)).columns, least)


def add_workers(one: Any) -> None:
    """The arguments about workers."""
    one.add_argument("--workers", type=whole(1, "worker"), metavar="N", help="how many workers (one per usable CPU)")
    one.add_argument(
        "--on",
        "--context",
        dest="on",
        metavar="ENGINE",
        help="where the work is done: fork, spawn, forkserver or thread, which start workers here; dask://HOST:PORT or "
        "ray://HOST:PORT, a cluster; dask or ray, one on this machine for as long as the command runs",
    )


@contextlib.contextmanager
def context_of(options: argparse.Namespace) -> Iterator[Any]:
    """The context that `--on` names; a cluster that was started for it ends with it.

    Raises: ValueError for a name of none; EngineMissing, ClusterUnreachable, VersionMismatch.
    """
    try:
        context = procession.get_context(options.on)
    except ValueError as error:
        raise ValueError(f"{error}{meant(options.on, ENGINES)}") from None
    try:
        yield context
    finally:
        if getattr(context, "cluster", None) is not None:
            context.close()


def add_timeline(one: Any) -> None:
    """The arguments about what the command did, for those who want to look into that."""
    group = one.add_argument_group("Timeline")
    group.add_argument("--trace", metavar="FILE", help="write a trace, for https://ui.perfetto.dev or chrome://tracing")
    group.add_argument("--report", metavar="FILE", help="write a page about the run, for any browser")


def begin_timeline(options: argparse.Namespace, command: list[str]) -> None:
    """What these ask for, from now on. Raises: OSError."""
    trace, report = getattr(options, "trace", None), getattr(options, "report", None)
    if trace or report:
        from procession.timeline.scribe import Wishes, begin

        begin(Wishes(trace, report), command)


def add_checkpoint(one: Any, unit: str) -> Any:
    """The arguments about a checkpoint of finished units; the group that they are in."""
    group = one.add_argument_group("Checkpoint")
    group.add_argument(
        "--checkpoint",
        metavar="PATH",
        help=f"keep what is done there; after a crash the same command goes on with the {unit} that are left",
    )
    group.add_argument("--checkpoint-reset", action="store_true", help="begin the checkpoint anew, whatever it is for")
    return group


def checkpoint_of(options: argparse.Namespace, **further: Any) -> Checkpoint | None:
    """The checkpoint that was asked for. Raises ValueError for options of one without it."""
    if options.checkpoint is None:
        if options.checkpoint_reset or any(further.values()):
            raise ValueError("--checkpoint-reset, --checkpoint-interval and --retry-failed need --checkpoint PATH")
        return None
    from procession.checkpoint import Checkpoint

    given = {name: value for name, value in further.items() if value is not None}
    return Checkpoint(options.checkpoint, reset=options.checkpoint_reset, **given)


@contextlib.contextmanager
def output(path: str | None) -> Iterator[TextIO]:
    """Where rows go. A file is opened before the work begins and appears, whole, when it ends without an error.

    What is yielded has a `buffer` of bytes below it, as standard output has.
    """
    if path is None or path == "-":
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a character is no reason to fail
        yield sys.stdout
        return
    if os.path.lexists(path) and not os.path.isfile(path):  # a device, a pipe; or a directory, which raises
        with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as out:
            yield out
        return
    path = os.path.realpath(path)
    try:
        descriptor, draft = tempfile.mkstemp(prefix=".procession-", dir=os.path.dirname(path))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None  # who asked knows this name, and not the draft's
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as out:
            yield out
        os.chmod(draft, os.stat(path).st_mode if os.path.exists(path) else 0o666 & ~current_umask())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def current_umask() -> int:
    """This process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
