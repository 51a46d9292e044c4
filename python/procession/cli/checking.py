"""`procession check`: run a program as `procession run` does, then tell what it does wrong.

The program is a forked child: it is what `run` would have made of this very process, with its streams, its arguments
and its exit code, and whatever ends it, a kill -9 included, leaves this process to read what was recorded and to
report. Nothing heavy is loaded before the fork.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from procession.cli.catalogue import KINDS
from procession.cli.codes import EXIT_BROKEN, EXIT_FINDINGS
from procession.cli.manual import Manual, Option
from procession.cli.mistakes import none_of, refuse
from procession.cli.programs import METHODS, PROGRAM, PROGRAM_OPTIONS, parse

__all__ = ["MANUAL", "OPTIONS", "check"]

MANUAL = Manual(
    "check",
    PROGRAM,
    "Run a Python program on procession, as `procession run` does, and explain what it does wrong with processes and "
    "threads: races, lost updates, lost writes, deadlocks, locks left behind, copies. Each finding comes with the "
    "lines it is about and the lines to write instead. The program's own output and errors are as ever.",
    (
        "procession check simulate.py --steps 1000",
        "procession check --only race,lost-update -m mypackage.train",
        "procession check --timeout 20 --exit-zero simulate.py",
        "procession check --json=findings.json simulate.py",
    ),
    (
        "A comment at the end of a line leaves out what is found there:",
        "    # procession: ignore[race]",
    ),
)
OPTIONS: tuple[Option, ...] = (
    *PROGRAM_OPTIONS,
    Option(
        "--method --context",
        "NAME",
        "how processes are started: fork, spawn, forkserver or thread, unless the program chooses itself",
        choices=METHODS,
    ),
    Option(
        "--json",
        "FILE",
        "findings as JSON: to that file, besides the text; without =FILE to standard output, and what the program "
        "prints there goes to standard error",
        value="optional",
    ),
    Option("--only", "KINDS", f"report these kinds alone, separated by commas: {', '.join(KINDS)}"),
    Option("--ignore", "KINDS", "do not report these"),
    Option("--exit-zero", help="findings do not change the exit code"),
    Option("--timeout", "SECONDS", "end the program after so long, and report what was found until then"),
    Option("--keep", "DIRECTORY", "leave what was recorded there"),
    Option("--help -h", help="this help"),
)

_PREFIX = "procession-check-"  # of temporary directories
_FRESH_S = 60.0  # a directory may be younger than its lock
_PATIENCE_S = 2.0  # between SIGTERM and SIGKILL for a program whose time is up


class _Options:
    json: str | None = None
    """Where findings go as JSON: a file, or "-"."""
    method: str | None = None
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    exit_zero = False
    timeout: float | None = None
    keep: str | None = None
    program: list[str]


def check(arguments: list[str]) -> int:
    """Run and analyse; returns the exit code. Blocks until the program has ended."""
    options = _parse(arguments)
    _check_limit()
    place = _given_directory(options.keep) if options.keep is not None else _temporary_directory()
    try:
        pid = os.fork()
        if pid == 0:
            place.leave()
            _become_program(options, place.path)
        status = _wait(pid, options.timeout)
        return _report(options, place.path, status)
    finally:
        place.remove()


# Arguments


def _check_limit() -> None:
    """Refuse a limit of the environment's that is none, while nothing has begun."""
    from procession import _recording

    try:
        _recording.limit()
    except ValueError as error:
        refuse("check", str(error))


def _parse(arguments: list[str]) -> _Options:
    given, program = parse(MANUAL, OPTIONS, arguments)
    options = _Options()
    options.program = program
    options.method = given.get("--method")
    options.keep = given.get("--keep")
    options.exit_zero = "--exit-zero" in given
    options.only, options.ignore = _kinds(given.get("--only", "")), _kinds(given.get("--ignore", ""))
    if "--timeout" in given:
        options.timeout = _seconds(given["--timeout"])
    if "--json" in given:
        options.json = given["--json"] or "-"
    if program[0] not in ("-", "-m", "-c") and not os.path.exists(program[0]):
        refuse("check", f"can't open file {program[0]!r}: No such file or directory")
    if options.json not in (None, "-"):
        try:
            open(options.json, "w").close()
        except OSError as error:  # better known before the run than after it
            refuse("check", f"--json={options.json}: {error.strerror}")
    return options


def _kinds(listed: str) -> tuple[str, ...]:
    kinds = tuple(listed.replace(",", " ").split())
    for kind in kinds:
        if kind not in KINDS:
            refuse("check", none_of(kind, KINDS, "kind of finding"))
    return kinds


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        refuse("check", f"--timeout takes a number of seconds, not {text!r}")


class _Directory:
    """Where to record; a temporary one is locked as long as this process lives, and removed at the end."""

    def __init__(self, path: str, lock: int = -1) -> None:
        self.path, self.lock = path, lock
        self.pid = os.getpid()

    def leave(self) -> None:
        """In the program: what is the command's own is not its."""
        if self.lock >= 0:
            os.close(self.lock)

    def remove(self) -> None:
        """What the program left running may still write into it, for a moment."""
        if self.lock >= 0 and self.pid == os.getpid():
            import shutil

            for _ in range(3):
                shutil.rmtree(self.path, ignore_errors=True)


def _given_directory(path: str) -> _Directory:
    try:
        os.makedirs(path, exist_ok=True)
        names = os.listdir(path)
    except OSError as error:
        refuse("check", f"--keep {path}: {error.strerror}")
    if names:
        refuse("check", f"--keep {path}: there is something in it already")
    return _Directory(os.path.abspath(path))


def _temporary_directory() -> _Directory:
    """A new one. Those of commands that were killed, which nobody has locked, are removed."""
    import fcntl
    import tempfile

    try:
        path = tempfile.mkdtemp(prefix=_PREFIX)
        lock = os.open(path, os.O_RDONLY)
    except OSError as error:
        refuse("check", f"no place to record in: {error.strerror or error}; TMPDIR says where temporary files go")
    fcntl.flock(lock, fcntl.LOCK_EX)
    _remove_abandoned(os.path.dirname(path))
    return _Directory(path, lock)


def _remove_abandoned(folder: str) -> None:
    import fcntl
    import time

    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(_PREFIX):
                continue
            with contextlib.suppress(OSError):
                lock = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    told = os.fstat(lock)
                    if told.st_uid == os.getuid() and time.time() - told.st_mtime > _FRESH_S:
                        import shutil

                        shutil.rmtree(entry.path, ignore_errors=True)
                finally:
                    os.close(lock)


# The program


def _become_program(options: _Options, directory: str) -> None:
    """In the child: what `procession run` does, recorded. Leaves as the interpreter does at the end of a program."""
    if options.json == "-":
        os.dup2(2, 1)
    from procession.check.beginning import begin

    begin(directory)
    from procession.cli.running import run

    method = [] if options.method is None else ["--context", options.method]
    sys.exit(run([*method, "--", *options.program] if options.program[0][:1] != "-" else [*method, *options.program]))


def _wait(pid: int, timeout: float | None) -> int:
    """The program's exit code, -n for signal n. Ctrl-C and the like are the program's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: _send(pid, number))
    if timeout is not None:
        _end_in_time(pid, timeout)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _end_in_time(pid: int, timeout: float) -> None:
    """Wait for the end for so long, then bring it about: as Ctrl-C does, then SIGTERM, then SIGKILL."""
    import time

    for wait, number in ((timeout, signal.SIGINT), (_PATIENCE_S, signal.SIGTERM), (_PATIENCE_S, signal.SIGKILL)):
        end = time.monotonic() + wait
        while time.monotonic() < end:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
            time.sleep(0.02)
        if number == signal.SIGINT:
            print(f"procession check: {timeout:g} seconds are over, the program is ended", file=sys.stderr)
        _send(pid, number)


# The report


def _report(options: _Options, directory: str, status: int) -> int:
    import json

    from procession.check.analyses import analyse
    from procession.check.report import as_json, render, summary
    from procession.cli.colours import coloured

    _know_source(options)
    result = analyse(directory, options.only, options.ignore)
    if options.json is not None:
        text = json.dumps(as_json(result, options.program, status), indent=1) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            with open(options.json, "w", encoding="utf-8") as file:
                file.write(text)
    if options.json != "-":
        sys.stderr.write(render(result.findings, coloured=coloured(sys.stderr), width=_width()))
        import textwrap

        for sentence in result.missing:
            print(textwrap.fill(f"procession check: {sentence}", _width()), file=sys.stderr)
        print(f"procession check: {summary(result)}{_ended(status)}", file=sys.stderr)
    for failure in result.failures:
        print(f"procession check: {failure}\nThis is a mistake of procession's own.", file=sys.stderr)
    if options.exit_zero or not (result.findings or result.failures):
        return status if status >= 0 else 128 - status
    return EXIT_FINDINGS if result.findings else EXIT_BROKEN


def _ended(status: int) -> str:
    if status < 0:
        return f"; the program was ended by {signal.Signals(-status).name}"
    return f"; the program's exit code is {status}" if status else ""


def _width() -> int:
    """Columns of the terminal, if it is one; at most those of a page."""
    from procession.check.report import WIDTH

    try:
        return min(os.get_terminal_size(2).columns or WIDTH, WIDTH)
    except OSError:
        return WIDTH


def _know_source(options: _Options) -> None:
    """Let the lines of a program that was given on the command line be found."""
    first = options.program[0]
    if first[:2] == "-c":
        import linecache

        code = first[2:] or options.program[1]
        linecache.cache["<string>"] = len(code), None, [f"{line}\n" for line in code.splitlines()], "<string>"
