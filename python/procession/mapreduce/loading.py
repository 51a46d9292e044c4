"""Finding what a user names: `module:name` or `path/to/file.py:name`, in this process and again in each worker.

A file is run as a module under a name of its own, with its directory in reach, as `python file.py` would run it; but
it is not the main module, so a guard (`if __name__ == "__main__":`) in it stays shut.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from procession.mapreduce.errors import JobImportError, JobIncomplete, JobNotFound

__all__ = ["describe", "find_function", "find_named", "import_place", "of_user"]


MOST_SUGGESTED = 10  # names; arbitrary


def find_function(name: str) -> Callable[[Any], Any]:
    """The function called `module:function` or `path/to/file.py:function`.

    Raises JobNotFound if there is no such function, JobImportError if the module cannot be imported, JobIncomplete if
    what is found there cannot be called.
    """
    found = find_named(name, "a function is named module:function or file.py:function", callable)
    if not callable(found):
        raise JobIncomplete(f"{name} is no function: it cannot be called")
    function: Callable[[Any], Any] = found
    return function


def find_named(name: str, advice: str, is_kind: Callable[[Any], bool]) -> Any:
    """What stands in a module or file under a name, dots leading on from there.

    `advice` ends the message for a name without a colon; `is_kind` picks what to suggest instead of a name that is not
    there. Raises JobNotFound, JobImportError.
    """
    place, colon, inner = name.rpartition(":")
    if not colon or not place or not inner:
        raise JobNotFound(f"{name!r} names nothing; {advice}")
    module = import_place(place)
    found: Any = module
    for part in inner.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise JobNotFound(f"{place} has no {inner!r}{suggestion(module, inner, is_kind)}") from None
    return found


def suggestion(module: ModuleType, wanted: str, is_kind: Callable[[Any], bool]) -> str:
    """What a module does have of a kind, to end a message with; of many only what resembles the name that is wanted."""
    found = sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and is_kind(value)
    )
    if len(found) > MOST_SUGGESTED:
        found = difflib.get_close_matches(wanted, found)
    return f"; it has: {', '.join(found)}" if found else ""


def import_place(place: str) -> ModuleType:
    """The module at a dotted name or in a file ending in .py. Raises JobImportError."""
    is_file = place.endswith(".py") or os.sep in place
    if is_file and not os.path.isfile(place):
        raise JobImportError(f"no job file {place!r}")
    try:
        return import_file(place) if is_file else import_name(place)
    except (Exception, SystemExit) as error:
        raise JobImportError(f"cannot import {place}: {describe(error)}") from error


def import_name(name: str) -> ModuleType:
    """Imports by dotted name, with the current directory in reach, as `python -m` would."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def import_file(path: str) -> ModuleType:
    """Runs a file as a module, with its directory in reach, as `python file.py` would. Once per process."""
    path = os.path.abspath(path)
    name = "_procession_job_" + os.path.splitext(os.path.basename(path))[0]
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__file__", None) == path:
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    if os.path.dirname(path) not in sys.path:
        sys.path.insert(0, os.path.dirname(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # partial answers of a class defined there are pickled by this name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
FRAME = re.compile(r'  File "(.*)", line \d')


def of_user(text: str) -> str:
    """A traceback without the frames of this package; nothing at all if no other is in it."""
    kept: list[str] = []
    shown, others = True, False
    for line in text.splitlines(keepends=True):
        if frame := FRAME.match(line):
            shown = not frame[1].startswith(OURS)
            others |= shown
        elif not line.startswith("    "):  # a frame's source, and marks below it, are indented
            shown = True
        if shown:
            kept.append(line)
    return "".join(kept) if others else ""
