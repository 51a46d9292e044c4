"""What a job is, the built-in ones, and how one is found from its name.

A job is a class with two methods. `map` turns a stretch of text into a partial answer; `reduce` joins two partial
answers into one. Nothing else is known about the answer's type, so a job can count, collect, average or search:

    class LongestLine:
        '''The longest line of all the input.'''

        columns = ("length", "line")

        def map(self, text):
            return max(((len(line), line) for line in text.splitlines()), default=(0, ""))

        def reduce(self, left, right):
            return max(left, right)

Text reaches `map` in whole lines, in no particular order, and partial answers meet in no particular order either:
`reduce` must give the same answer however it is bracketed and whichever side comes first. Two things are optional:

- `fold(total, text)` adds one more text to a partial answer, where that is cheaper than `reduce(total, map(text))`.
- `finish(total)` turns the whole answer into rows for printing; `columns` names their fields. Without it a mapping
  becomes one row per key (largest value first if the values are numbers), a list one row per element, anything else
  a single row.

A job travels to the workers by name and each makes its own instance; so `__init__` takes no arguments, and attributes
set in one worker are not seen in another.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol, TypeVar

from procession.mapreduce.errors import JobFailed, JobImportError, JobIncomplete, JobNotFound

__all__ = ["BUILT_IN", "Job", "JobSource", "Text", "WordCount", "blamed", "load_job"]

T = TypeVar("T")


class Text(str):
    """A stretch of text handed to `map`: a string that also knows where it comes from.

    It always ends where a line ends (or where the file does), and starts where one starts. `path` is the file's name
    as the input named it, `offset` the number of bytes before it in that file. Line ends are as in the file.
    """

    path: str
    offset: int

    def __new__(cls, text: str, path: str = "", offset: int = 0) -> Text:
        self = super().__new__(cls, text)
        self.path = path
        self.offset = offset
        return self


class Job(Protocol[T]):
    """What `procession mapreduce` runs. See the module's text for the optional `fold`, `finish` and `columns`."""

    def map(self, text: Text, /) -> T:
        """The partial answer for one stretch of whole lines. Runs in a worker."""

    def reduce(self, left: T, right: T, /) -> T:
        """One partial answer out of two; may change and return either. Runs in a worker, and last in the parent."""


class Counts(Counter[str]):
    """A Counter that travels as a plain dict: twice as fast as the three copies a Counter's own pickling makes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return as_is, (dict(self),)


def as_is(counts: dict[str, int]) -> dict[str, int]:
    """What a pickled `Counts` calls when it arrives."""
    return counts


WORD = re.compile(r"[^\W\d_]+")


def words(text: str) -> list[str]:
    """The words of a text: its runs of letters (of any script), in lower case."""
    return WORD.findall(text.lower())


class WordCount:
    """How often each word occurs, a word being a run of letters, in lower case."""

    columns = ("word", "count")

    def map(self, text: Text) -> dict[str, int]:
        return Counts(words(text))

    def reduce(self, left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
        if len(left) < len(right):
            left, right = right, left
        get = left.get
        for word, count in right.items():  # Counter.update takes twice as long for a mapping
            left[word] = get(word, 0) + count
        return left

    def fold(self, total: dict[str, int], text: Text) -> dict[str, int]:
        # Always the very object `map` made in this process, so its fast way to count an iterable is there.
        assert isinstance(total, Counts)
        total.update(words(text))
        return total


BUILT_IN: dict[str, Callable[[], Job[Any]]] = {"wordcount": WordCount}


@dataclass
class JobSource:
    """A job as it travels: the name it is loaded by, or an instance to be pickled. Loaded once in each process."""

    name: str
    given: Job[Any] | None = None
    _loaded: Job[Any] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, job: str | Job[Any]) -> JobSource:
        """From a name or an instance. Raises what `load_job` raises."""
        source = cls(job) if isinstance(job, str) else cls(type(job).__qualname__, check_job(job, repr(job)))
        source.load()
        return source

    def load(self) -> Job[Any]:
        """The job itself. Raises what `load_job` raises."""
        if self._loaded is None:
            self._loaded = self.given if self.given is not None else load_job(self.name)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        # A class from a file cannot be found by pickle in a process that did not load the file: only the name travels.
        return {"name": self.name, "given": self.given, "_loaded": None}


def load_job(name: str) -> Job[Any]:
    """A new instance of the job called `wordcount`, `module:Class` or `path/to/file.py:Class`.

    Raises JobNotFound if there is no such job or class, JobImportError if the module cannot be imported, JobIncomplete
    if it is not a job.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    place, colon, class_name = name.rpartition(":")
    if not colon or not place or not class_name:
        known = ", ".join(sorted(BUILT_IN))
        raise JobNotFound(f"no built-in job {name!r} (there is: {known}); your own is module:Class or file.py:Class")
    module = import_place(place)
    found: Any = module
    for part in class_name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise JobNotFound(f"{place} has no {class_name!r}{suggestion(module)}") from None
    if isinstance(found, type):
        try:
            found = found()
        except Exception as error:
            raise JobIncomplete(f"{name} cannot be made without arguments: {describe(error)}") from error
    return check_job(found, name)


def import_place(place: str) -> ModuleType:
    """The module at a dotted name or in a file ending in .py."""
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


def check_job(found: Any, name: str) -> Job[Any]:
    """`found` itself, if it has the methods. Raises JobIncomplete otherwise."""
    missing = [method for method in ("map", "reduce") if not callable(getattr(found, method, None))]
    if missing:
        raise JobIncomplete(f"{name} is not a job: it has no {' and no '.join(missing)}")
    job: Job[Any] = found
    return job


def suggestion(module: ModuleType) -> str:
    """The jobs a module does have, to end a message with; empty if there are none."""
    names: Iterable[str] = (
        name for name, value in vars(module).items() if hasattr(value, "map") and hasattr(value, "reduce")
    )
    found = ", ".join(sorted(names))
    return f"; it has: {found}" if found else ""


def describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def blamed(name: str, place: str = "") -> Iterator[None]:
    """Turns an exception from a job's own code into JobFailed, which says where in the input it happened."""
    try:
        yield
    except Exception as error:
        where = f" at {place}" if place else ""
        raise JobFailed(f"job {name} failed{where}: {describe(error)}", traceback.format_exc()) from error
