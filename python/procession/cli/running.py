"""`procession run`: a Python program in this process, as `python` runs it, with this package for its `multiprocessing`.

The program gets a `__main__` of its own. An error that ends it, `SystemExit` and an interrupt included, passes through
our frames to the interpreter, which deals with it as with any program's: traceback (ours are taken out of it), exit
code, exit handlers and flushing are its own business. What remains visible of us is the bottom of the stack, to a
program that walks it.

Loads nothing that a start does not need: whoever runs a short script waits for each of these imports.
"""

from __future__ import annotations

import os
import sys

from procession.cli.codes import EXIT_USAGE
from procession.cli.manual import Manual, Option
from procession.cli.mistakes import refuse
from procession.cli.programs import METHODS, PROGRAM, PROGRAM_OPTIONS, parse

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

__all__ = ["MANUAL", "OPTIONS", "run"]

MANUAL = Manual(
    "run",
    PROGRAM,
    "Run a Python program as it is, on procession: `multiprocessing` and its modules, in the program, in the libraries "
    "it uses and in all its child processes, are procession's. Everything else is as under `python`.",
    (
        "procession run simulate.py --steps 1000",
        "procession run --context forkserver -m mypackage.train",
        "procession run --trace run.json --report run.html simulate.py",
        "procession run -c 'import multiprocessing; print(multiprocessing.cpu_count())'",
        "python -X dev -m procession run simulate.py",
    ),
    ("The files are written when the program has ended, by whatever: its end, an error, Ctrl-C, a crash, kill -9.",),
)
OPTIONS: tuple[Option, ...] = (
    *PROGRAM_OPTIONS,
    Option(
        "--context",
        "NAME",
        "how processes are started: fork, spawn, forkserver or thread (threads for processes), unless the program "
        "calls set_start_method itself",
        choices=METHODS,
    ),
    Option("--forward-output", help="bring what children print and log here: whole lines, with the process's name"),
    Option("--trace", "FILE", "write a timeline: open it in https://ui.perfetto.dev or in chrome://tracing"),
    Option("--report", "FILE", "write a page about the run, for any browser"),
    Option(
        "--record",
        "DIRECTORY",
        "keep the recording that both are made of; `procession report DIRECTORY` makes a page of it later",
    ),
    Option("--help -h", help="this help"),
)

launchers: list[Any] = []  # the main modules before the program's: they have frames below it


def run(arguments: list[str]) -> int:
    """Run the program that the arguments name, to its end; 0 if that is the end of its code.

    Raises: whatever ends the program; SystemExit for wrong usage.
    """
    given, rest = parse(MANUAL, OPTIONS, arguments)
    command = list(rest)
    kind, rest = (rest[0], rest[1:]) if rest[0] in ("-m", "-c") else ("", rest)
    if given.pop("--forward-output", ""):
        from .._output import VARIABLE

        os.environ[VARIABLE] = "1"  # for all processes to come
    if len(given) > ("--context" in given):
        _record(given, command)
    _install(given.get("--context"))
    {"-m": _run_module, "-c": _run_code, "": _run_script}[kind](rest[0], rest[1:])
    return 0


def _record(given: dict[str, str], command: list[str]) -> None:
    """Have the run recorded, and what is wished for written at its end."""
    from procession.timeline.scribe import Wishes, begin

    try:
        begin(Wishes(given.get("--trace"), given.get("--report"), given.get("--record")), command)
    except (OSError, ValueError) as error:
        refuse("run", str(error))


def _install(context: str | None) -> None:
    from procession.installing import install

    try:
        install(context)
    except ValueError as error:
        refuse("run", str(error))


# The kinds of programs


def _run_script(path: str, arguments: list[str]) -> None:
    sys.argv[:] = [path, *arguments]
    if path == "-":
        _set_first_path("")
        main = _new_main(__file__="<stdin>", __cached__=None)
        _execute(main, lambda: compile(sys.stdin.buffer.read(), "<stdin>", "exec", dont_inherit=True))
    elif _holds_modules(path):
        if not sys.flags.safe_path:
            del sys.path[0]
        sys.path.insert(0, os.path.join(os.getcwd(), path))
        _new_main()
        _call(lambda: _runpy()._run_module_as_main("__main__", False))
    else:
        _set_first_path(os.path.dirname(os.path.realpath(path)))
        _run_file(os.path.join(os.getcwd(), path))


def _holds_modules(path: str) -> bool:
    """Whether it is a directory or a zip file: something that could stand in `sys.path`."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _run_file(path: str) -> None:
    import importlib.machinery as machinery

    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        print(f"{sys.orig_argv[0]}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    if path.endswith(".pyc"):
        bytecode = machinery.SourcelessFileLoader("__main__", path)
        _execute(_new_main(bytecode, __file__=path, __cached__=None), lambda: bytecode.get_code("__main__"))
        return
    main = _new_main(machinery.SourceFileLoader("__main__", path), __file__=path, __cached__=None)
    _execute(main, lambda: _compiled(source, path))


def _compiled(source: bytes, path: str) -> Any:
    if b"\0" in source:  # the error that `compile` raises does not name the file
        line = source.count(b"\n", 0, source.index(b"\0")) + 1
        raise SyntaxError("source code cannot contain null bytes", (path, line, None, None))
    return compile(source, path, "exec", dont_inherit=True)


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-m", *arguments]  # the file's name takes the first place once it is found
    _set_first_path(os.getcwd())
    _new_main()
    _call(lambda: _runpy()._run_module_as_main(name))


def _run_code(code: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-c", *arguments]
    _set_first_path("")
    if sys.version_info >= (3, 13):  # from then on tracebacks show the lines of such a program too
        import linecache

        linecache.cache["<string>"] = len(code), None, [f"{line}\n" for line in code.splitlines()], "<string>"
    _execute(_new_main(), lambda: compile(code, "<string>", "exec", dont_inherit=True))


def _runpy() -> Any:
    import runpy

    return runpy


# Running


def _set_first_path(path: str) -> None:
    """Put the program's directory in the place of the one that `sys.path` has for us, if there is one."""
    if not sys.flags.safe_path:
        sys.path[0] = path


def _new_main(loader: Any = None, **attributes: Any) -> Any:
    """A fresh module `__main__`, in the place of ours."""
    import builtins

    launchers.append(sys.modules["__main__"])
    main = type(sys)("__main__")
    main.__dict__.update(__builtins__=builtins, **attributes)
    main.__loader__ = sys.modules["_frozen_importlib"].BuiltinImporter if loader is None else loader
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = sys.modules["__mp_main__"] = main
    return main


def _execute(main: Any, compiled: Callable[[], Any]) -> None:
    _call(lambda: exec(compiled(), main.__dict__))


def _call(program: Callable[[], object]) -> None:
    """Run the program. If an error ends it, let that pass with a traceback that begins with the program's frames."""
    try:
        program()
    except SystemExit:
        raise
    except BaseException as error:
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
            traceback = traceback.tb_next
        _show_from(error, traceback)
        raise


def _show_from(error: BaseException, traceback: TracebackType | None) -> None:
    """Let whoever is to show this error, at the very end, see this traceback of it and not the whole."""
    show = sys.excepthook

    def excepthook(kind: type[BaseException], value: BaseException, whole: TracebackType | None) -> None:
        sys.excepthook = show
        if value is error:
            whole = value.__traceback__ = traceback
        show(kind, value, whole)

    sys.excepthook = excepthook
