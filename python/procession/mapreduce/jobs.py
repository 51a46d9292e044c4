"""What a job is, and how one is found from its name.

A job is a class with a method `map`, which is given a stretch of text. What becomes of what it gives decides between
two kinds. A job *by key* gives pairs of a key and a value, and says how the values of a key become one:

    class Sizes:
        '''How many characters each file has.'''

        columns = ("file", "characters")
        reduce = "sum"

        def map(self, text):
            yield text.path, len(text)

`reduce` is the name of a reducer (`count` takes keys alone, without values; then `sum mean min max first list set` and
`top(n)`), or a method `reduce(key, values)`; or there is a method `combine(left, right)` that makes one value of two,
in any order and grouping.
(With a method `reduce(key, values)` the class also says `keyed = True`.) What `map` may give, and in which forms it is
fastest, is described at `Pool.map_reduce_by_key`, which runs these jobs; no process ever holds all of the keys.

Any *other* job gives a partial answer, of any type, and joins two of them:

    class LongestLine:
        '''The longest line of all the input.'''

        columns = ("length", "line")

        def map(self, text):
            return max(((len(line), line) for line in text.splitlines()), default=(0, ""))

        def reduce(self, left, right):
            return max(left, right)

`reduce` must give the same answer however it is bracketed and whichever side comes first; `fold(total, text)` may add
one more text to a partial answer, where that is cheaper than `reduce(total, map(text))`.

For both kinds: text reaches `map` in whole lines, in no particular order. These are optional:

- `columns` names the fields of a row; without it they are numbered.
- `finish(total)` turns the whole answer into rows; without it a mapping becomes one row per key, a list one row per
  element, anything else a single row. `rows(key, value)` yields the rows of one key, also of an answer too large to be
  held in one place.
- `takes` says what `map` is given: "text" (a str, if not said), "bytes", "csv" (text in whole records of CSV, with
  their `header`) or "csv-bytes"; see `Files`.
- `utf8 = True`: bytes only where the text is in UTF-8, else text. `errors`, if there is such an attribute, is set to
  what is to become of bytes that are not.
- `__init__` may have keyword arguments, which the command sets with `--set name=value`.

A job travels to the workers by name and arguments, and each makes its own instance; so attributes set in one worker
are not seen in another.
"""

from __future__ import annotations

import contextlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from procession.errors import InputError, JobError
from procession.gather.reducers import Reducer, reducer_of
from procession.mapreduce.errors import JobFailed, JobIncomplete, JobNotFound
from procession.mapreduce.form import TAKES
from procession.mapreduce.loading import describe, find_named, of_user
from procession.mapreduce.stretches import Text

__all__ = ["Job", "JobSource", "Text", "blamed", "built_in_jobs", "is_keyed", "load_job", "reducer_for"]

T = TypeVar("T")

ADVICE = "your own is module:Class or file.py:Class"


class Job(Protocol[T]):
    """What `procession mapreduce` runs. See the module's text for what is optional, and for jobs by key."""

    def map(self, text: Any, /) -> T:
        """The partial answer for one stretch of whole lines, or its pairs. Runs in a worker."""

    def reduce(self, left: T, right: T, /) -> T:
        """One partial answer out of two; may change and return either. Runs in a worker, and last in the parent."""


def is_keyed(job: Any) -> bool:
    """Whether a job gives pairs of a key and a value."""
    reduce = getattr(job, "reduce", None)
    return bool(
        getattr(job, "keyed", False) or isinstance(reduce, str | Reducer) or callable(getattr(job, "combine", None))
    )


def reducer_for(job: Any) -> Reducer:
    """What becomes of the values of a key, as the job says it.

    Raises JobIncomplete if it says nothing, or both, or names no reducer.
    """
    reduce, combine = getattr(job, "reduce", None), getattr(job, "combine", None)
    try:
        return reducer_of(reduce, combine)
    except (TypeError, ValueError) as error:
        raise JobIncomplete(f"{type(job).__qualname__} is not a job by key: {error}") from error


@dataclass
class JobSource:
    """A job as it travels: the name it is loaded by, or an instance to be pickled. Loaded once in each process."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    given: Job[Any] | None = None
    _loaded: Job[Any] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, job: str | Job[Any], arguments: Mapping[str, Any] | None = None) -> JobSource:
        """From a name, with the arguments of its class if it is to be made with any, or from an instance.

        Raises what `load_job` raises.
        """
        arguments = dict(arguments or {})
        if isinstance(job, str):
            source = cls(job, arguments)
        elif arguments:
            raise JobIncomplete(f"{job!r} is already made, and takes no arguments")
        else:
            source = cls(type(job).__qualname__, given=check_job(job, repr(job)))
        source.load()
        return source

    def load(self) -> Job[Any]:
        """The job itself. Raises what `load_job` raises."""
        if self._loaded is None:
            self._loaded = self.given if self.given is not None else load_job(self.name, self.arguments)
        return self._loaded

    def __getstate__(self) -> dict[str, Any]:
        # A class from a file cannot be found by pickle in a process that did not load the file: only the name travels.
        return {"name": self.name, "arguments": self.arguments, "given": self.given, "_loaded": None}


def built_in_jobs() -> Mapping[str, Callable[..., Any]]:
    """The jobs that have a name of their own."""
    from procession.mapreduce.builtin import BUILT_IN  # they build on this module

    return BUILT_IN


def load_job(name: str, arguments: Mapping[str, Any] | None = None) -> Job[Any]:
    """A new instance of the job called `wordcount`, `module:Class` or `path/to/file.py:Class`.

    Arguments given as a str become what the class says of them: an int, float or bool, by annotation or default.
    Raises JobNotFound if there is no such job or class, JobImportError if the module cannot be imported, JobIncomplete
    if it is not a job or cannot be made with these arguments.
    """
    known = built_in_jobs()
    if name in known:
        return check_job(made(known[name], name, arguments or {}), name)
    if ":" not in name:
        raise JobNotFound(f"no built-in job {name!r} (there is: {', '.join(sorted(known))}); {ADVICE}")
    found = find_named(name, ADVICE, lambda value: hasattr(value, "map") and looks_reduced(value))
    if isinstance(found, type):
        found = made(found, name, arguments or {})
    elif arguments:
        raise JobIncomplete(f"{name} is already made, and takes no arguments")
    return check_job(found, name)


def made(make: Callable[..., Any], name: str, arguments: Mapping[str, Any]) -> Any:
    """An instance of a job's class. Raises JobIncomplete if the class does not take these arguments, or not them."""
    parameters = parameters_of(make)
    taken = ", ".join(parameters)
    for given in arguments:
        if given not in parameters:
            raise JobIncomplete(f"{name} takes no {given!r}; it takes: {taken or 'no arguments'}")
    lacking = [key for key, one in parameters.items() if one.default is one.empty and key not in arguments]
    if lacking:
        raise JobIncomplete(f"{name} cannot be made without: {', '.join(lacking)} (set with --set name=value)")
    values = {key: typed(key, value, parameters[key]) for key, value in arguments.items()}
    try:
        return make(**values)
    except JobIncomplete:
        raise
    except Exception as error:
        raise JobIncomplete(f"{name} cannot be made: {describe(error)}") from error


def parameters_of(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What a class can be given by name."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    try:
        return {one.name: one for one in inspect.signature(make).parameters.values() if one.kind in kinds}
    except (TypeError, ValueError):  # a class of C
        return {}


def typed(name: str, value: Any, parameter: inspect.Parameter) -> Any:
    """An argument as the class wants it. Raises JobIncomplete for text that is none of that."""
    if not isinstance(value, str):
        return value
    wanted = parameter.annotation if parameter.annotation is not parameter.empty else type(parameter.default).__name__
    wanted = getattr(wanted, "__name__", wanted)
    makers: dict[Any, Callable[[str], Any]] = {"int": int, "float": float, "bool": truth}
    try:
        return makers.get(wanted, str)(value)
    except ValueError:
        raise JobIncomplete(f"{name} is to be of type {wanted}, and is {value!r}") from None


def truth(text: str) -> bool:
    """A bool as it is written on a command line. Raises ValueError."""
    try:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def looks_reduced(found: Any) -> bool:
    """Whether a job says in any way what becomes of what `map` gives."""
    reduce = getattr(found, "reduce", None)
    return callable(reduce) or isinstance(reduce, str | Reducer) or callable(getattr(found, "combine", None))


def check_job(found: Any, name: str) -> Job[Any]:
    """`found` itself, if it has the methods. Raises JobIncomplete otherwise."""
    missing = [] if callable(getattr(found, "map", None)) else ["map"]
    missing += [] if looks_reduced(found) else ["reduce"]
    if missing:
        raise JobIncomplete(f"{name} is not a job: it has no {' and no '.join(missing)}")
    if is_keyed(found):
        reducer_for(found)
    if getattr(found, "takes", "text") not in TAKES:
        raise JobIncomplete(f"{name} takes {found.takes!r}; what a job can take is: {', '.join(TAKES)}")
    job: Job[Any] = found
    return job


@contextlib.contextmanager
def blamed(name: str, place: str = "") -> Iterator[None]:
    """Turns an exception from a job's own code into JobFailed, which says where in the input it happened."""
    try:
        yield
    except (JobError, InputError):  # says already what is wrong
        raise
    except Exception as error:
        where = f" at {place}" if place else ""
        raise JobFailed(f"job {name} failed{where}: {describe(error)}", of_user(traceback.format_exc())) from error
