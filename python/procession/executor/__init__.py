"""Executor: `concurrent.futures` on a pool's workers and rings.

The names and meanings are `concurrent.futures.ProcessPoolExecutor`'s (in the thread context `ThreadPoolExecutor`'s),
those new in Python 3.14 included. What is different:

* Arguments are pickled in `submit`, in the calling thread: what changes afterwards is not sent.
* A future that no worker has taken can be cancelled, however long the queue before it; the standard executor lets a few
  more than it has workers go beyond recall.
* A worker that dies fails the one future it was at, with a `WorkerDied` that is a `BrokenProcessPool` as well, so that
  programs which then make a new executor go on working; but this one stays usable: another worker takes the place.
  A call whose arguments cannot be unpickled in the worker likewise fails alone. What breaks an executor for good is an
  initializer that raises, and workers that die before they serve.
* `max_tasks_per_child` works with fork too. (Without a context it still chooses spawn, as the standard one does.)
* `shutdown(wait=False)`, and dropping the executor, never hang at exit.

`crew` carries the pool's rules out for futures, `future` is what `submit` returns, `worker` the child's side.
"""

from __future__ import annotations

import multiprocessing.context
from concurrent.futures import Executor as _StandardExecutor

from .._interrupts import Ignored
from .._output import wanted
from ..errors import NotSupported
from ..pool.arguments import whole
from ..pool.inherited import default_context
from ..pool.limits import limits_of, memory_of
from ..pool.results import NO_LIMITS
from . import mapping
from .crew import Crew
from .worker import call_chunk

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from typing import Any, ParamSpec, TypeVar

    from .._output import ForwardOutput
    from ..pool.maps import Progress
    from ..pool.records import PoolStatistics

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["Executor"]


class Executor(_StandardExecutor):
    """Workers that call functions for you and give futures: processes of a context, or threads.

    `max_workers`: at most so many, by default as many as CPUs may be used. Forked ones start with the first call, all
    at once; others one by one, as they are needed. `context` (or `mp_context`): a context or its name ("fork", "spawn",
    "forkserver", "thread"), by default the package's. `initializer(*initargs)` runs in each worker first.
    `max_tasks_per_child`: a worker ends after so many calls and a fresh one takes its place.

    `retries`: how often a call is made again whose worker ended before it gave a result. `timeout`: how many seconds a
    call may run. `memory_limit`: how much memory of its own a worker may have (bytes, or a str as "2G"). A worker that
    goes beyond is ended and replaced, and its call fails with TaskTimeout or MemoryLimitExceeded. `forward_output`: as
    with a pool, what workers print and log arrives here.

    Raises: ValueError for less than one worker or task, for an unknown context, for two contexts; TypeError;
    NotSupported for a limit on threads.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        context: Any = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        *,
        max_tasks_per_child: int | None = None,
        mp_context: Any = None,
        retries: int = 0,
        timeout: float | None = None,
        memory_limit: int | str | None = None,
        forward_output: ForwardOutput = None,
    ) -> None:
        if context is not None and mp_context is not None:
            raise ValueError("context and mp_context mean the same: give one")
        given = context if context is not None else mp_context
        if given is None and max_tasks_per_child is not None:
            given = "spawn"
        self._mp_context: Any = default_context() if given is None else _context_of(given)
        if max_workers is None:
            max_workers = int(self._mp_context.cpu_count())
        max_workers = whole(max_workers)
        if max_workers <= 0:
            raise ValueError(f"max_workers must be greater than 0, not {max_workers}")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        self._max_workers = max_workers
        context, initargs = _ours(self._mp_context), tuple(initargs)
        method = context.get_start_method()
        forward = wanted(forward_output, method)
        limits = limits_of(retries, timeout, NO_LIMITS, method)
        memory = memory_of(memory_limit, "memory_limit", method)
        self._core = Crew.of(context, max_workers, initializer, initargs, max_tasks_per_child or 0, limits, memory)
        if forward:
            self._core.catch_up = self._core.engine.forward_output(forward)
        self._core.watch_over(self)

    def __repr__(self) -> str:
        core, method = self._core, self._mp_context.get_start_method()
        state = "broken" if core.error is not None else "open" if core.state.accepts else "shut down"
        return f"<{type(self).__name__} {method} max_workers={self._max_workers} ({state})>"

    # Calls

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Have `fn(*args, **kwargs)` called in a worker. Never blocks, but for the start of workers.

        What cannot be pickled fails the future, with an error that names it.

        Raises: RuntimeError after `shutdown` and while the interpreter ends; BrokenProcessPool (BrokenThreadPool) when
        the executor broke; PicklingError for an initializer that cannot be sent.
        """
        future: Future[R] = self._core.call(fn, args, kwargs)
        return future

    def map(
        self,
        fn: Callable[..., R],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
        progress: Progress = None,
    ) -> Iterator[R]:
        """The results of `fn` for the zipped items, in order. All items are read now, or up to `buffersize` ahead.

        `timeout` seconds from now on the iterator raises TimeoutError. Chunks of `chunksize` items travel together, and
        fail together. When the iterator ends early what is not running is cancelled. `progress` shows how far it is, as
        for a pool: True, a title, a function of a `procession.progress.Snapshot`, tqdm; see docs/guides/progress.md.

        Raises: ValueError for a chunksize or a buffersize below one; as `submit`; the iterator what `fn` raises.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        submit: Callable[[Executor, Any], Future[Any]]
        if chunksize == 1:
            submit = lambda executor, args: executor.submit(fn, *args)
        else:
            submit = lambda executor, chunk: executor._submit_chunk(fn, chunk)
        if progress is None:
            return mapping.start(submit, self, iterables, timeout, chunksize, buffersize)
        from ..pool.progressing import title_of
        from .showing import start_shown

        title = title_of(progress, fn)
        return start_shown(progress, title, submit, self, iterables, timeout, chunksize, buffersize)

    def _submit_chunk(self, fn: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> Future[Any]:
        if type(self).submit is not Executor.submit:  # a subclass wants to see every call
            return self.submit(call_chunk, fn, chunk)
        future: Future[Any] = self._core.call_chunk(fn, chunk)
        return future

    # The end

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. What was submitted will be done, or cancelled with `cancel_futures`; then workers end.

        Blocks until then, unless `wait` is false. May be called again.
        """
        self._core.shut_down(wait, cancel_futures)

    def terminate_workers(self) -> None:
        """End the workers now by SIGTERM; calls that are running fail with BrokenProcessPool, others are cancelled.

        Does not wait. Threads cannot be ended: they finish the call they are at.
        """
        self._core.end_workers("terminate")

    def kill_workers(self) -> None:
        """As `terminate_workers`, by SIGKILL."""
        self._core.end_workers("kill")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Wait for all calls; after Ctrl-C end the workers, which did not hear it."""
        if kind is KeyboardInterrupt:
            with Ignored():
                self.kill_workers()
                self.shutdown()
        self.shutdown()

    @property
    def name(self) -> str | None:
        """The name it was given, for people; None when it has none."""
        name: str | None = self._core.engine.registration.name
        return name

    @name.setter
    def name(self, name: str | None) -> None:
        self._core.engine.registration.name = name

    def statistics(self) -> PoolStatistics:
        """A snapshot, without waiting."""
        return self._core.statistics()

    def __reduce__(self) -> tuple[Any, ...]:
        raise NotSupported("an Executor cannot be pickled or sent to another process: make one there")

    # Names that other libraries (and the standard library's tests) read

    @property
    def _processes(self) -> dict[int, Any]:
        """The workers that have been started, by pid."""
        if self._core.engine.method == "thread":
            return {}
        return {worker.pid: worker for worker in self._core.workers()}

    @property
    def _threads(self) -> set[Any]:
        """In the thread context: the workers."""
        return set(self._core.workers()) if self._core.engine.method == "thread" else set()

    @property
    def _broken(self) -> str | bool:
        return False if self._core.error is None else str(self._core.error)

    @property
    def _shutdown_thread(self) -> bool:
        return not self._core.state.accepts

    _shutdown = _shutdown_thread

    @property
    def _executor_manager_thread(self) -> Any:
        return self._core.helper

    @property
    def _call_queue(self) -> Any:
        return _CallQueue(self._core.engine)


class _CallQueue:
    """What other libraries may ask of the queue of calls. There is no feeder thread to wait for."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def qsize(self) -> int:
        return int(self._engine.waiting)

    def close(self) -> None:
        pass

    join_thread = cancel_join_thread = close


def _context_of(given: Any) -> Any:
    """The context that is meant. Raises: ValueError for an unknown name; TypeError for something else."""
    if isinstance(given, str):
        return default_context().get_context(given)
    if not hasattr(given, "get_start_method"):
        raise TypeError(f"context must be a context or the name of one, not {given!r}")
    return given


def _ours(context: Any) -> Any:
    """The context itself, or for one of the standard library's own ours with the same start method."""
    if type(context).__module__ == multiprocessing.context.__name__:
        return default_context().get_context(context.get_start_method())
    return context
