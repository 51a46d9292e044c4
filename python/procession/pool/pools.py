"""The pool, whose workers are what its context starts.

See the package for what is different from the standard ones, `inherited` for the names that programs take from a
standard pool's inside.
"""

from __future__ import annotations

import os
import weakref
from contextlib import nullcontext
from multiprocessing import util

from .._bootstrap import at_fork_in_child
from .._interrupts import Ignored
from .._output import wanted
from ..errors import ClusterLost, NotSupported, PicklingError, PoolBroken
from . import mapping
from .arguments import whole
from .engine import ProcessEngine
from .forgotten import forget
from .inherited import Inherited, default_context
from .limits import limits_of, memory_of
from .maps import Maps
from .records import PoolStatistics
from .results import CALL, NO_LIMITS, AsyncResult, new_job
from .supervisor import Supervisor
from .watch import Watch

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeVar

    from .._output import ForwardOutput
    from .engine import Engine
    from .limits import Limits

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


class Pool(Maps, Inherited):
    """Workers that call functions for you: processes of a context, or threads.

    `processes`: how many, by default as many as CPUs may be used. `initializer(*initargs)` runs in each worker first.
    `maxtasksperchild`: a worker ends after so many tasks (chunks count as one) and a fresh one takes its place;
    `maxmemoryperchild`: when it is seen between tasks to have more memory of its own than this (bytes, or a str as
    "2G"); its parent looks 50 times a second.

    For every call that does not say otherwise: `retries`, how often an item is tried again whose worker ended before it
    gave a result; `timeout`, how many seconds one item may run. `memory_limit`: how much memory of its own a worker may
    have (what it shares does not count). A worker that goes beyond is ended and replaced, and only the item it was at
    fails, with TaskTimeout or MemoryLimitExceeded, which are WorkerDied. Both are looked at every 20 ms.

    Raises: ValueError for less than one process or task; TypeError for a number that is not an int; PicklingError for
    an initializer that cannot be sent (spawn and forkserver); NotSupported for a limit on threads.

    `forward_output`: with True what workers print and log arrives here in whole lines, attributed and in order, and
    before the result of the task that printed it; a WorkerDied has its last lines. A function gets each line instead of
    `sys.stdout`. See docs/guides/output.md. (Threads print as they always did.)

    A worker, though daemonic, may have a pool of its own.
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
        *,
        retries: int = 0,
        timeout: float | None = None,
        memory_limit: int | str | None = None,
        maxmemoryperchild: int | str | None = None,
        forward_output: ForwardOutput = None,
    ) -> None:
        if self._standard is not None:  # a subclass with its own transport called this by name
            self._standard.__init__(self, processes, initializer, initargs, maxtasksperchild, context)
            return
        self._foreign = self._ended = False
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
        method = context.get_start_method()
        forward = wanted(forward_output, method)
        self._limits = limits_of(retries, timeout, NO_LIMITS, method)
        memory = (
            memory_of(memory_limit, "memory_limit", method),
            memory_of(maxmemoryperchild, "maxmemoryperchild", method),
        )
        attended = maxtasksperchild is not None or timeout is not None or memory != (None, None)
        engine = self._engine()
        watch = Watch(engine, *memory) if isinstance(engine, ProcessEngine) else None
        self._core = Supervisor(engine, processes, attended, watch=watch)
        if forward:
            self._core.catch_up = engine.forward_output(forward)  # type: ignore[attr-defined]
        self._core.start()
        # As the standard library's: before other daemonic children are ended at exit
        self._terminate = util.Finalize(self, Supervisor.terminate, args=(self._core,), exitpriority=15)
        _pools.add(self)

    def _engine(self) -> Engine:
        given = self._processes, self._initializer, self._initargs, self._maxtasksperchild or 0
        if self._ctx.get_start_method() == "thread":
            from .local import LocalEngine

            return LocalEngine(*given)
        if hasattr(self._ctx, "cluster"):
            from .far import FarEngine

            return FarEngine(self._ctx, *given)
        return ProcessEngine(self._ctx, self.Process, *given)

    def __repr__(self) -> str:
        cls = type(self)
        return f"<{cls.__module__}.{cls.__qualname__} state={self._state} pool_size={len(self._pool)}>"

    def __del__(self) -> None:
        if getattr(self, "_core", None) is None or self._foreign or os.getpid() != self._pid:
            return
        ended = self._ended if self._forced is None else self._forced != RUN
        if not ended and getattr(self, "_terminate", None) is not None:
            forget(self)

    def __enter__(self) -> Pool:
        self._check_running()
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *rest: object) -> None:
        with Ignored() if kind is KeyboardInterrupt else nullcontext():
            self.terminate()

    # One call

    def apply(
        self,
        func: Callable[..., R],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        *,
        retries: int | None = None,
        timeout: float | None = None,
    ) -> R:
        """Call `func(*args, **kwds)` in a worker and return its value. Blocks until then; see `AsyncResult.get`.

        Ctrl-C ends the call in its worker as well.

        `retries`, `timeout`: in the place of the pool's.
        """
        if type(self).apply_async is not Pool.apply_async:  # a subclass wants to see every call
            job = self.apply_async(func, args, kwds, retries=retries, timeout=timeout)
        else:
            job = self._call(func, args, kwds, None, None, retries, timeout)
        try:
            result: R = job.get()
        except BaseException as error:
            job.end_early(error)
            raise
        return result

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: _Callback | None = None,
        error_callback: _Callback | None = None,
        *,
        retries: int | None = None,
        timeout: float | None = None,
    ) -> AsyncResult:
        """Have `func(*args, **kwds)` called in a worker. Never blocks.

        One of the callbacks is called with the value or the exception, on a thread of the pool's. `retries` and
        `timeout` take the place of the pool's.

        Raises: PicklingError, and then nothing was sent; ValueError when the pool was closed; PoolBroken.
        """
        job = self._call(func, args, kwds, callback, error_callback, retries, timeout)
        if not self._core.is_guarded and job._callbacks is None:
            self._core.be_guarded()
        return job

    # The end

    def close(self) -> None:
        """Take no more calls. What was submitted will be done, and then the workers end."""
        if not self._foreign:
            self._ended = True
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
            self._ended = True
            self._terminate()

    @property
    def name(self) -> str | None:
        """The name it was given, for people; None when it has none."""
        return self._core.engine.registration.name

    @name.setter
    def name(self, name: str | None) -> None:
        self._core.engine.registration.name = name

    def statistics(self) -> PoolStatistics:
        """A snapshot, without waiting."""
        return self._core.statistics()

    def __reduce__(self) -> tuple[Any, ...]:
        raise NotSupported("pool objects cannot be passed between processes or pickled")

    # Inside

    def _call(
        self,
        func: Callable[..., Any],
        args: Iterable[Any],
        kwds: Mapping[str, Any],
        callback: _Callback | None,
        error_callback: _Callback | None,
        retries: int | None,
        timeout: float | None,
    ) -> AsyncResult:
        core = self._core
        if self._foreign or core.error is not None or not core.state.accepts:
            self._check_running()
        given = (tuple(args), dict(kwds) if kwds else _NO_KEYWORDS)
        job: AsyncResult = new_job(AsyncResult, -1)
        job._core, job._function, job._given, job._outcome, job._callbacks = core, func, given, None, None
        job._limits, job._tries = self._limits, None
        if retries is not None or timeout is not None:
            job._limits = self._limits_for(retries, timeout)
        if timeout is not None or job._limits.retries:
            core.attend()
        if callback is not None or error_callback is not None:
            job._callbacks = (callback, error_callback)
            core.expect_callbacks()
        job.seal()
        try:
            core.submit_one(job, func, CALL | job._limits.kind, given)
        except BaseException as error:
            self._not_submitted(job)
            if isinstance(error, PicklingError):
                raise self._name_argument(error, given, core.engine.encode) from error.__cause__
            raise
        return job

    def _check_owned(self) -> None:
        if self._foreign:
            raise PoolBroken(f"this pool belongs to process {self._pid}, from which this one was forked; make one here")

    def _check_running(self) -> None:
        """Raises: PoolBroken for a pool that broke or is another process's; ValueError for one that was closed."""
        self._check_owned()
        if isinstance(self._core.error, PoolBroken | ClusterLost):
            raise self._core.error.with_traceback(None)
        if self._state != "RUN":
            raise ValueError("Pool not running")

    def _limits_for(self, retries: int | None, timeout: float | None) -> Limits:
        return limits_of(retries, timeout, self._limits, self._core.engine.method)

    def _not_submitted(self, job: Any) -> None:
        if job._callbacks is not None:
            self._core.no_callbacks()

    @staticmethod
    def _name_argument(error: PicklingError, given: tuple[Any, ...], encode: Any) -> PicklingError:
        for values, name in ((enumerate(given[0]), "args"), (given[1].items(), "kwds")):
            for key, value in values:
                path = mapping.path_of(value, encode)
                if path is not None:
                    return mapping.renamed(error, f"{name}[{key!r}]{path}")
        return error
