"""The pool, whose workers are what its context starts.

See the package for what is different from the standard ones, `inherited` for the names that programs take from a
standard pool's inside.
"""

from __future__ import annotations

import os
import warnings
import weakref
from multiprocessing import util

from .._bootstrap import at_fork_in_child
from ..errors import NotSupported, PicklingError, PoolBroken
from . import mapping
from .arguments import check_chunksize, sequence, whole
from .engine import ProcessEngine
from .folding import NOTHING, map_reduce
from .inherited import Inherited, default_context
from .iterators import IMapIterator, IMapUnorderedIterator
from .records import PoolStatistics
from .results import CALL, ONE, STAR, AsyncResult, MapResult, new_job
from .supervisor import Supervisor

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, TypeVar

    from ..gather.result import KeyedResult
    from .board import KeyedProgress
    from .engine import Engine

    T = TypeVar("T")
    R = TypeVar("R")
    _Callback = Callable[[Any], object]

__all__ = ["CLOSE", "INIT", "RUN", "TERMINATE", "Pool"]

INIT, RUN, CLOSE, TERMINATE = "INIT", "RUN", "CLOSE", "TERMINATE"  # states, as the standard pool calls them

_NO_KEYWORDS: dict[str, Any] = {}  # shared, so that a call without keywords makes no dict

_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _disown() -> None:
    """In a forked child: the parent's pools are not its own."""
    for pool in list(_pools):
        pool._foreign = True


at_fork_in_child(_disown)


class Pool(Inherited):
    """Workers that call functions for you: processes of a context, or threads.

    `processes`: how many, by default as many as CPUs may be used. `initializer(*initargs)` runs in each worker first.
    `maxtasksperchild`: a worker ends after so many tasks (chunks count as one) and a fresh one takes its place.

    Raises: ValueError for less than one process or task; TypeError for a number that is not an int; PicklingError for
    an initializer that cannot be sent (spawn and forkserver). A worker, though daemonic, may have a pool of its own.
    """

    @staticmethod
    def Process(ctx: Any, *args: Any, **kwds: Any) -> Any:
        """The process, not started, that will be a worker. Subclasses may override this."""
        return ctx.Process(*args, **kwds)

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        if self._standard is not None:  # a subclass with its own transport called this by name
            self._standard.__init__(self, processes, initializer, initargs, maxtasksperchild, context)
            return
        self._foreign = False
        context = context or default_context()
        if processes is None:
            processes = int(context.cpu_count())
        processes = whole(processes)
        if processes < 1:
            raise ValueError(f"Number of processes must be at least 1, not {processes}")
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild < 1):
            raise ValueError(f"maxtasksperchild must be a positive int or None, not {maxtasksperchild!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._ctx, self._processes, self._pid = context, processes, os.getpid()
        self._initializer, self._initargs, self._maxtasksperchild = initializer, tuple(initargs), maxtasksperchild
        self._core = Supervisor(self._engine(), processes, retiring=maxtasksperchild is not None)
        self._core.start()
        # As the standard library's: before other daemonic children are ended at exit
        self._terminate = util.Finalize(self, Supervisor.terminate, args=(self._core,), exitpriority=15)
        _pools.add(self)

    def _engine(self) -> Engine:
        given = self._processes, self._initializer, self._initargs, self._maxtasksperchild or 0
        if self._ctx.get_start_method() == "thread":
            from .local import LocalEngine

            return LocalEngine(*given)
        return ProcessEngine(self._ctx, self.Process, *given)

    def __repr__(self) -> str:
        cls = type(self)
        return f"<{cls.__module__}.{cls.__qualname__} state={self._state} pool_size={len(self._pool)}>"

    def __del__(self) -> None:
        core = getattr(self, "_core", None)
        if core is None or self._foreign or os.getpid() != self._pid:
            return
        if self._state == RUN and getattr(self, "_terminate", None) is not None:
            warnings.warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, *exception: object) -> None:
        self.terminate()

    # One call

    def apply(self, func: Callable[..., R], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> R:
        """Call `func(*args, **kwds)` in a worker and return its value. Blocks until then; see `AsyncResult.get`."""
        result: R = self.apply_async(func, args, kwds).get()
        return result

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: _Callback | None = None,
        error_callback: _Callback | None = None,
    ) -> AsyncResult:
        """Have `func(*args, **kwds)` called in a worker. Never blocks.

        One of the callbacks is called with the value or the exception, on a thread of the pool's.

        Raises: PicklingError, and then nothing was sent; ValueError when the pool was closed; PoolBroken.
        """
        core = self._core
        if self._foreign or core.error is not None or not core.state.accepts:
            self._check_running()
        given = (tuple(args), dict(kwds) if kwds else _NO_KEYWORDS)
        job = new_job(AsyncResult, -1)
        job._core, job._function, job._given, job._outcome, job._callbacks = core, func, given, None, None
        if callback is not None or error_callback is not None:
            job._callbacks = (callback, error_callback)
            core.expect_callbacks()
        job.seal()
        try:
            core.submit_one(job, func, CALL, given)
        except BaseException as error:
            self._not_submitted(job)
            if isinstance(error, PicklingError):
                raise self._name_argument(error, given) from error.__cause__
            raise
        return job

    # Many calls

    def map(self, func: Callable[[T], R], iterable: Iterable[T], chunksize: int | None = None) -> list[R]:
        """Call `func` with every item, return the results in order. Blocks until all are there.

        Raises: what `func` raised for the first item that failed, once all others are done; as `apply_async`.
        """
        results: list[R] = self._map(func, iterable, ONE, chunksize)
        return results

    def starmap(
        self, func: Callable[..., R], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[R]:
        """As `map`, with the items of each item as arguments."""
        results: list[R] = self._map(func, iterable, STAR, chunksize)
        return results

    def map_async(
        self,
        func: Callable[[T], Any],
        iterable: Iterable[T],
        chunksize: int | None = None,
        callback: _Callback | None = None,
        error_callback: _Callback | None = None,
    ) -> MapResult:
        """As `map`, without waiting; see `apply_async`."""
        return self._map_async(func, iterable, ONE, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: _Callback | None = None,
        error_callback: _Callback | None = None,
    ) -> MapResult:
        """As `starmap`, without waiting; see `apply_async`."""
        return self._map_async(func, iterable, STAR, chunksize, callback, error_callback)

    def imap(self, func: Callable[[T], R], iterable: Iterable[T], chunksize: int = 1) -> IMapIterator:
        """An iterator over the results, in order. The input is read a little ahead of what was taken from it.

        An item that cannot be pickled is raised in its place; an error of the iterable in that of the chunk it ended.
        """
        return self._imap(IMapIterator(self), func, iterable, chunksize)

    def imap_unordered(self, func: Callable[[T], R], iterable: Iterable[T], chunksize: int = 1) -> IMapIterator:
        """As `imap`, with the results in the order they come."""
        return self._imap(IMapUnorderedIterator(self), func, iterable, chunksize)

    def map_reduce(
        self,
        map_function: Callable[[T], R],
        items: Iterable[T],
        reduce_function: Callable[[R, R], R],
        chunksize: int | None = None,
        initial: Any = NOTHING,
        progress: Callable[[int], object] | None = None,
    ) -> R:
        """The same as `functools.reduce(reduce_function, map(map_function, items), initial)`, with all workers.

        Workers fold the values of neighbouring items, the caller folds what they give, in the order of the items: right
        for every associative `reduce_function`, commutative or not. (One that changes and returns its first argument
        is fine.) `initial` comes first, once. `progress` is called with the number of items done. Blocks until the end;
        reads `items` only a little ahead.

        Raises: TypeError for no items and no `initial`, as `functools.reduce`; as `map`.
        """
        self._check_running()
        check_chunksize(chunksize)
        result: R = map_reduce(self._core, map_function, items, reduce_function, chunksize, initial, progress)
        return result

    def map_reduce_by_key(
        self,
        map_function: Callable[[T], Any],
        items: Iterable[T],
        reduce: Any = None,
        *,
        combine: Callable[[Any, Any], Any] | None = None,
        chunksize: int | None = None,
        memory_budget: int | None = None,
        spill_dir: str | os.PathLike[str] | None = None,
        retries: int = 1,
        progress: Callable[[KeyedProgress], object] | None = None,
    ) -> KeyedResult:
        """Map every item to keys or to pairs of a key and a value, and make one value of each key's values.

        `map_function` gives, for one item: for `reduce="count"` an iterable of keys, or a dict of key to number; for
        all others an iterable of pairs, a dict, or two columns `(keys, values)`, of which the second may be an
        `itertools.repeat`; a list, numpy or Arrow column is quickest; `None` for nothing; `Batches` of these. Keys are
        str, bytes, int, float, bool, None or tuples of them, and different if their types are.

        `reduce` is "count", "sum", "mean", "min", "max", "first", "list", "set", `procession.gather.top(n)`, or a
        function `reduce(key, values)`, `values` being a list; "first", "list" and `values` are in the order of the
        items. Instead of it, `combine(value, value)` is a function that is associative and commutative: it meets values
        in any order. It is called as they come, so it costs less than a `reduce` function, for which all are kept.

        `items` are read only a little ahead, `chunksize` of them for a worker at a time (default: about a millisecond
        of work); an object with `divide` and `read`, `procession.mapreduce.Files` say, gives pieces that the workers
        read. Beyond `memory_budget` bytes (default: half of the memory available; see `gather.budget`) what is gathered
        lies on disk, in `spill_dir` (default: where temporary files go), in files without a name. When a worker dies,
        what it had not returned is done again; the item it was at, or the part of the reduce, up to `retries` times.
        `progress` is called ten times a second. Blocks until the answer is there, a read-only Mapping in shared memory.

        Raises: what a function raised, with a note of where; WorkerDied naming the item; SpillFull; TypeError for what
        is no key or no pair; as `apply_async`.
        """
        self._check_running()
        check_chunksize(chunksize)
        from .keyed import map_reduce_by_key

        result: KeyedResult = map_reduce_by_key(
            self._core, map_function, items, reduce, combine, chunksize, memory_budget, spill_dir, retries, progress
        )
        return result

    # The end

    def close(self) -> None:
        """Take no more calls. What was submitted will be done, and then the workers end."""
        if not self._foreign:
            self._core.close()

    def join(self) -> None:
        """Block until the workers have ended. Raises: ValueError before `close` or `terminate`."""
        self._check_owned()
        if self._state == "RUN":
            raise ValueError("Pool is still running")
        self._core.join()

    def terminate(self) -> None:
        """End the workers now; who waits for a result gets PoolTerminated. (Threads finish the task they are at.)"""
        if not self._foreign:
            self._terminate()

    def statistics(self) -> PoolStatistics:
        """A snapshot, without waiting."""
        return self._core.statistics()

    def __reduce__(self) -> tuple[Any, ...]:
        raise NotSupported("pool objects cannot be passed between processes or pickled")

    # Inside

    def _check_owned(self) -> None:
        if self._foreign:
            raise PoolBroken(f"this pool belongs to process {self._pid}, from which this one was forked; make one here")

    def _check_running(self) -> None:
        """Raises: PoolBroken for a pool that broke or is another process's; ValueError for one that was closed."""
        self._check_owned()
        if isinstance(self._core.error, PoolBroken):
            raise self._core.error.with_traceback(None)
        if self._state != "RUN":
            raise ValueError("Pool not running")

    def _map_job(self, function: Any, items: Sequence[Any], callback: Any = None, on_error: Any = None) -> MapResult:
        job: MapResult = new_job(MapResult, len(items))
        job._chunksize = 1
        job._prepare(self._core, function, items, callback, on_error)
        return job

    def _not_submitted(self, job: Any) -> None:
        if job._callbacks is not None:
            self._core.no_callbacks()

    @staticmethod
    def _name_argument(error: PicklingError, given: tuple[Any, ...]) -> PicklingError:
        for values, name in ((enumerate(given[0]), "args"), (given[1].items(), "kwds")):
            for key, value in values:
                path = mapping.path_of(value)
                if path is not None:
                    return mapping.renamed(error, f"{name}[{key!r}]{path}")
        return error

    def _map(self, function: Any, iterable: Iterable[Any], kind: int, chunksize: int | None) -> Any:
        self._check_running()
        check_chunksize(chunksize)
        items = sequence(iterable)
        job = self._map_job(function, items)
        try:
            mapping.feed(self._core, job, kind, function, items, chunksize)
            job.seal()
            return job.get()
        except BaseException:
            mapping.drop(self._core, job)
            raise

    def _map_async(
        self, function: Any, iterable: Iterable[Any], kind: int, chunksize: int | None, callback: Any, on_error: Any
    ) -> MapResult:
        self._check_running()
        check_chunksize(chunksize)
        items = sequence(iterable)
        if not items:
            callback = on_error = None  # as the standard library: nothing was called, nobody is told
        job = self._map_job(function, items, callback, on_error)
        job.seal()
        try:
            mapping.submit_all(self._core, job, kind, function, items, chunksize)
        except BaseException:
            self._not_submitted(job)
            raise
        return job

    def _imap(self, job: IMapIterator, function: Any, iterable: Iterable[Any], chunksize: int) -> IMapIterator:
        self._check_running()
        check_chunksize(chunksize)
        return job.begin(self._core, function, iterable, chunksize)
