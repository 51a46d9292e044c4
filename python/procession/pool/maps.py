"""The methods of a pool that call a function with many items."""

from __future__ import annotations

from . import mapping
from .arguments import check_chunksize, failing, sequence
from .folding import NOTHING, map_reduce
from .iterators import IMapIterator, IMapUnorderedIterator
from .results import ONE, STAR, MapResult, new_job

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TypeVar

    from ..checkpoint import Checkpoint
    from ..gather.result import KeyedResult
    from ..progress.displays import Updatable
    from ..progress.snapshot import Snapshot
    from .board import KeyedProgress
    from .limits import Limits
    from .supervisor import Supervisor

    T = TypeVar("T")
    R = TypeVar("R")
    _Callback = Callable[[Any], object]
    Progress = bool | str | Callable[[Snapshot], object] | Updatable | None
    KeyedReport = bool | str | Callable[[KeyedProgress], object] | Updatable | None

__all__ = ["Maps"]


class Maps:
    """A part of `Pool`.

    What its methods have in common: `retries` and `timeout` take the place of the pool's; see `Pool`. `progress` shows
    how far it is: True or a title on the terminal or in the notebook, and where there is neither not at all; a function
    is called with a `procession.progress.Snapshot`, at most ten times a second and at the end, and what it raises ends
    the call; tqdm (the class, or a bar) or a `rich.progress.Progress` is updated. TypeError for anything else. See
    docs/guides/progress.md.
    """

    if TYPE_CHECKING:
        _core: Supervisor

        def _check_running(self) -> None: ...
        def _limits_for(self, retries: int | None, timeout: float | None) -> Limits: ...
        def _not_submitted(self, job: Any) -> None: ...

    def map(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int | None = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        return_exceptions: bool = False,
        on_error: str = "first",
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        progress: Progress = None,
    ) -> list[R]:
        """Call `func` with every item, return the results in order. Blocks until all are there; Ctrl-C ends what runs.

        `chunksize` items travel together; by default chunks follow the measured time of an item. `retries` and
        `timeout` (seconds for one item) take the place of the pool's. `progress`: True or a title for a bar, a
        function that is called with a `procession.progress.Snapshot`, tqdm, rich: see docs/guides/progress.md.

        With `return_exceptions` the exception of an item that failed stands in its place. Otherwise, once all others
        are done, raises: what `func` raised for the first item that failed or, with `on_error="group"`, TaskErrors, an
        ExceptionGroup of all failures whose `results` has the results as well. Also raises: as `apply_async`.

        Items of a chunk whose worker died under another one of them are done again; those before it for a second time,
        if they took less than a millisecond together. With `chunksize=1` there are no others.

        `checkpoint` is a file (or a `procession.checkpoint.Checkpoint`) in which what is done is kept, so that the same
        call, after a crash of everything, does the rest; an item that failed fails again without being tried. Items
        are tasks of their own then. Also raises: CheckpointMismatch for another function or other items,
        CheckpointInUse, CheckpointFull, NotACheckpoint. See docs/guides/resume.md.
        """
        given = chunksize, retries, timeout, failing(on_error, return_exceptions), checkpoint, progress
        results: list[R] = self._map(func, iterable, ONE, *given)
        return results

    def starmap(
        self,
        func: Callable[..., R],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        return_exceptions: bool = False,
        on_error: str = "first",
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        progress: Progress = None,
    ) -> list[R]:
        """As `map`, with the items of each item as arguments."""
        given = chunksize, retries, timeout, failing(on_error, return_exceptions), checkpoint, progress
        results: list[R] = self._map(func, iterable, STAR, *given)
        return results

    def map_async(
        self,
        func: Callable[[T], Any],
        iterable: Iterable[T],
        chunksize: int | None = None,
        callback: _Callback | None = None,
        error_callback: _Callback | None = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        return_exceptions: bool = False,
        on_error: str = "first",
        progress: Progress = None,
    ) -> MapResult:
        """As `map`, without waiting; see `apply_async`."""
        given = chunksize, retries, timeout, failing(on_error, return_exceptions), progress
        return self._map_async(func, iterable, ONE, callback, error_callback, *given)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: _Callback | None = None,
        error_callback: _Callback | None = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        return_exceptions: bool = False,
        on_error: str = "first",
        progress: Progress = None,
    ) -> MapResult:
        """As `starmap`, without waiting; see `apply_async`."""
        given = chunksize, retries, timeout, failing(on_error, return_exceptions), progress
        return self._map_async(func, iterable, STAR, callback, error_callback, *given)

    def imap(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int = 1,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        progress: Progress = None,
    ) -> IMapIterator:
        """An iterator over the results, in order. The input is read a little ahead of what was taken from it.

        An item that fails, or cannot be pickled, is raised in its place; an error of the iterable in that of the chunk
        it ended. The iteration may go on behind it. `chunksize` items travel together; `retries` and `timeout` (seconds
        for one item) take the place of the pool's. `next(timeout=None)` of the iterator raises TimeoutError, and may be
        called again.
        """
        given = func, iterable, chunksize, retries, timeout
        return self._imap(IMapIterator(self), *given) if progress is None else self._shown_imap(True, progress, *given)

    def imap_unordered(
        self,
        func: Callable[[T], R],
        iterable: Iterable[T],
        chunksize: int = 1,
        *,
        retries: int | None = None,
        timeout: float | None = None,
        progress: Progress = None,
    ) -> IMapIterator:
        """As `imap`, with the results in the order they come."""
        given = func, iterable, chunksize, retries, timeout
        if progress is None:
            return self._imap(IMapUnorderedIterator(self), *given)
        return self._shown_imap(False, progress, *given)

    def map_reduce(
        self,
        map_function: Callable[[T], R],
        items: Iterable[T],
        reduce_function: Callable[[R, R], R],
        chunksize: int | None = None,
        initial: Any = NOTHING,
        progress: Progress = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
    ) -> R:
        """The same as `functools.reduce(reduce_function, map(map_function, items), initial)`, with all workers.

        Workers fold the values of neighbouring items, the caller folds what they give, in the order of the items: right
        for every associative `reduce_function`, commutative or not. (One that changes and returns its first argument
        is fine.) `initial` comes first, once. Blocks until the end; reads `items` only a little ahead. A chunk is done
        again as a whole when its worker dies, and may take `timeout` seconds.

        Raises: TypeError for no items and no `initial`, as `functools.reduce`; as `map`.
        """
        self._check_running()
        check_chunksize(chunksize)
        limits = self._limits_for(retries, timeout)
        result: R = map_reduce(self._core, map_function, items, reduce_function, chunksize, initial, progress, limits)
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
        progress: KeyedReport = None,
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
        A function as `progress` is called ten times a second with a `KeyedProgress`, a `Snapshot` that tells more.
        Blocks until the answer is there, a read-only Mapping in shared memory.

        Raises: what a function raised, with a note of where; WorkerDied naming the item; SpillFull; TypeError for what
        is no key or no pair; as `apply_async`.
        """
        self._check_running()
        check_chunksize(chunksize)
        from .keyed import map_reduce_by_key

        given = self._core, map_function, items, reduce, combine, chunksize, memory_budget, spill_dir, retries
        result: KeyedResult
        if progress is None:
            result = map_reduce_by_key(*given, None)
            return result
        from ..progress.runs import keyed_reporter
        from .progressing import title_of

        with keyed_reporter(progress, title_of(progress, map_function)) as tell:
            result = map_reduce_by_key(*given, tell)
        return result

    # Inside

    def _map_job(
        self, function: Any, items: Sequence[Any], kind: int, limits: Limits, on_error: str, shown: Any = None
    ) -> Any:
        kind_of_job: type[MapResult] = MapResult
        if shown:
            from .progressing import ShownMapResult as kind_of_job
        job = new_job(kind_of_job, len(items))
        job._prepare(self._core, function, items, None, None)
        job._chunksize, job._kind, job._limits, job._on_error = 1, kind, limits, on_error
        return job

    def _map(
        self,
        function: Any,
        iterable: Iterable[Any],
        kind: int,
        chunksize: int | None,
        retries: int | None,
        timeout: float | None,
        on_error: str,
        checkpoint: Any,
        progress: Any,
    ) -> Any:
        self._check_running()
        check_chunksize(chunksize)
        if checkpoint is not None:
            from .resuming import resumed_map

            if timeout is not None:
                self._core.attend()
            limits = self._limits_for(retries, timeout)
            return resumed_map(self._core, function, iterable, kind, checkpoint, limits, on_error, progress)
        display = None if progress is None else _display(progress)
        items = sequence(iterable)
        job = self._map_job(function, items, kind, self._limits_for(retries, timeout), on_error)
        try:
            if display is not None:
                from .progressing import map_shown, title_of

                return map_shown(self._core, job, function, items, chunksize, display, title_of(progress, function))
            mapping.feed(self._core, job, function, items, chunksize)
            job.seal()
            return job.get()
        except BaseException as error:
            job.end_early(error)
            raise

    def _map_async(
        self,
        function: Any,
        iterable: Iterable[Any],
        kind: int,
        callback: Any,
        error_callback: Any,
        chunksize: int | None,
        retries: int | None,
        timeout: float | None,
        on_error: str,
        progress: Any,
    ) -> MapResult:
        self._check_running()
        check_chunksize(chunksize)
        display = None if progress is None else _display(progress)
        items = sequence(iterable)
        job = self._map_job(function, items, kind, self._limits_for(retries, timeout), on_error, display is not None)
        if items:  # as the standard library: where nothing is called nobody is told
            job.call_back(callback, error_callback)
        job.seal()
        if timeout is not None or job._limits.retries:
            self._core.attend()
        if display is not None:
            job.show(display, progress, len(items))
        try:
            mapping.submit_all(self._core, job, function, items, chunksize)
        except BaseException:
            self._not_submitted(job)
            if display is not None:
                job.stop_showing()
            raise
        if display is not None:
            job.submitted()
        if not self._core.is_guarded and job._callbacks is None:
            self._core.be_guarded()
        result: MapResult = job
        return result

    def _imap(
        self,
        job: IMapIterator,
        function: Any,
        iterable: Iterable[Any],
        chunksize: int,
        retries: int | None,
        timeout: float | None,
    ) -> IMapIterator:
        self._check_running()
        check_chunksize(chunksize)
        if timeout is not None:
            self._core.attend()
        begun: IMapIterator = job.begin(self._core, function, iterable, chunksize, self._limits_for(retries, timeout))
        if not self._core.is_guarded:
            self._core.be_guarded()
        return begun

    def _shown_imap(
        self, in_order: bool, progress: Any, function: Any, iterable: Iterable[Any], *given: Any
    ) -> IMapIterator:
        from .progressing import shown_imap

        display = _display(progress)
        if display is None:
            job = IMapIterator(self) if in_order else IMapUnorderedIterator(self)
            return self._imap(job, function, iterable, *given)
        shown = shown_imap(self, in_order, display)
        shown.show(display, progress, function, iterable)
        return self._imap(shown, function, iterable, *given)


def _display(progress: Any) -> Any:
    from ..progress.displays import display_for

    return display_for(progress)
