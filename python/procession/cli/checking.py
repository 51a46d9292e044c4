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

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["EXIT_FINDINGS", "add_check", "check"]

USAGE = "usage: procession check [OPTIONS] SCRIPT | -m MODULE | -c CODE [ARGUMENTS]"

HELP = f"""\
{USAGE}

Run a Python program on procession, as `procession run` does, and explain what
it does wrong with processes and threads: races, lost updates, lost writes,
deadlocks, locks left behind, copies. Each finding comes with the lines it is
about and the lines to write instead. The program's own output and errors are as
ever.

  SCRIPT, -m, -c   as for `python`
  --method NAME    how processes are started: fork, spawn, forkserver or thread,
                   unless the program chooses itself
  --json           findings as JSON to standard output; what the program prints
                   there goes to standard error
  --json=FILE      findings as JSON to a file, besides the text
  --only KINDS     report these kinds alone, separated by commas
  --ignore KINDS   do not report these kinds
  --exit-zero      findings do not change the exit code
  --timeout S      end the program after so many seconds, and report what was
                   found until then
  --keep DIR       leave what was recorded in this directory

A comment at the end of a line leaves out what is found there:
    # procession: ignore[race]

Exit code: the program's if nothing was found; 3 with findings; 4 if an analysis
failed; 2 wrong usage. A program ended by signal N counts as 128 + N.

Examples:
    procession check simulate.py --steps 1000
    procession check --only race,lost-update -m mypackage.train
    procession check --json simulate.py | jq .findings"""

EXIT_USAGE = 2
EXIT_FINDINGS = 3
EXIT_FAILED = 4

_PREFIX = "procession-check-"  # of temporary directories
_FRESH_S = 60.0  # a directory may be younger than its lock
_PATIENCE_S = 2.0  # between SIGTERM and SIGKILL for a program whose time is up


def add_check(commands: Any) -> None:
    """The entry of `procession check` in the list of commands; `check` itself reads its arguments."""
    commands.add_parser("check", help="run a program and explain its races, deadlocks and lost writes", add_help=False)


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


def _parse(arguments: list[str]) -> _Options:
    options, rest = _Options(), list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-" and rest[0][:2] not in ("-m", "-c"):
        option, equals, value = rest.pop(0).partition("=")
        if option == "--":
            break
        if option in ("-h", "--help"):
            print(HELP)
            sys.exit(0)
        if option == "--json":
            options.json = value if equals else "-"
        elif option == "--exit-zero" and not equals:
            options.exit_zero = True
        elif option in ("--method", "--context", "--only", "--ignore", "--timeout", "--keep"):
            if not equals and not rest:
                _refuse(f"nothing after {option}")
            _set(options, option, value if equals else rest.pop(0))
        else:
            _refuse(f"no option {option}")
    if not rest or (rest[0] in ("-m", "-c") and len(rest) < 2):
        _refuse(f"nothing to run{f' after {rest[0]}' if rest else ''}")
    options.program = rest
    if options.json not in (None, "-"):
        try:
            open(options.json, "w").close()
        except OSError as error:  # better known before the run than after it
            _refuse(f"--json={options.json}: {error.strerror}")
    return options


def _set(options: _Options, option: str, value: str) -> None:
    if option in ("--only", "--ignore"):
        from procession.check.finding import KINDS

        kinds = tuple(kind for kind in value.replace(",", " ").split())
        for kind in kinds:
            if kind not in KINDS:
                _refuse(f"no kind of finding is called {kind!r}; there are {', '.join(KINDS)}")
        setattr(options, option[2:], kinds)
    elif option == "--timeout":
        try:
            options.timeout = float(value)
        except ValueError:
            _refuse(f"--timeout takes a number of seconds, not {value!r}")
    elif option == "--keep":
        options.keep = value
    else:
        if value not in ("fork", "spawn", "forkserver", "thread"):
            _refuse(f"no start method is called {value!r}; there are fork, spawn, forkserver and thread")
        options.method = value


def _refuse(message: str) -> NoReturn:
    print(f"{USAGE}\nprocession check: {message}", file=sys.stderr)
    sys.exit(EXIT_USAGE)


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
        _refuse(f"--keep {path}: {error.strerror}")
    if names:
        _refuse(f"--keep {path}: there is something in it already")
    return _Directory(os.path.abspath(path))


def _temporary_directory() -> _Directory:
    """A new one. Those of commands that were killed, which nobody has locked, are removed."""
    import fcntl
    import tempfile

    try:
        path = tempfile.mkdtemp(prefix=_PREFIX)
        lock = os.open(path, os.O_RDONLY)
    except OSError as error:
        _refuse(f"no place to record in: {error.strerror or error}; TMPDIR says where temporary files go")
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
        sys.stderr.write(render(result.findings, coloured=_is_coloured(), width=_width()))
        import textwrap

        for sentence in result.missing:
            print(textwrap.fill(f"procession check: {sentence}", _width()), file=sys.stderr)
        print(f"procession check: {summary(result)}{_ended(status)}", file=sys.stderr)
    for failure in result.failures:
        print(f"procession check: {failure}\nThis is a mistake of procession's own.", file=sys.stderr)
    if options.exit_zero or not (result.findings or result.failures):
        return status if status >= 0 else 128 - status
    return EXIT_FINDINGS if result.findings else EXIT_FAILED


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


def _is_coloured() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _know_source(options: _Options) -> None:
    """Let the lines of a program that was given on the command line be found."""
    first = options.program[0]
    if first[:2] == "-c":
        import linecache

        code = first[2:] or options.program[1]
        linecache.cache["<string>"] = len(code), None, [f"{line}\n" for line in code.splitlines()], "<string>"
