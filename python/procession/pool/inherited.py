"""What programs take from a standard pool's inside, and what they find here under these names.

No pool of ours needs any of it. Recipes and libraries read `_pool`, `_cache` or `_taskqueue` to see how far a pool is,
put tasks of their own making into `_taskqueue` (a `starmap` that is an `imap`, say), or override `Process`. Subclasses
that override more than that bring a transport of their own, which ours cannot run on: they get a standard pool; see
`transport`.
"""

from __future__ import annotations

import sys
from itertools import islice

from ..errors import NotSupported
from .iterators import IMapIterator
from .results import CALL, MANY, ONE, STAR, AsyncResult, MapResult

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from .supervisor import Supervisor

__all__ = ["Inherited", "default_context"]

_TRANSPORT = (
    "_guarded_task_generation",
    "_handle_results",
    "_handle_tasks",
    "_handle_workers",
    "_help_stuff_finish",
    "_maintain_pool",
    "_repopulate_pool",
    "_repopulate_pool_static",
    "_setup_queues",
    "_terminate_pool",
)


def default_context() -> Any:
    """The context behind the package's own names. The package stands above this module, and was imported before it."""
    return sys.modules[__name__.partition(".")[0]].get_context()


class Inherited:
    """Base of our pools."""

    _core: Supervisor
    _processes: int
    _forced: str | None = None  # state that a program has set
    _standard: Any = None  # in subclasses with a transport of their own: the standard class
    _wrap_exception = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls._standard is None and any(name in vars(cls) for name in _TRANSPORT):
            from .transport import rebase

            rebase(cls, Inherited, default_context)

    # State

    @property
    def _state(self) -> str:
        if self._forced is not None:
            return self._forced
        if self._core.error is not None:
            return "TERMINATE"
        return "RUN" if self._core.state.accepts else "CLOSE"

    @_state.setter
    def _state(self, state: str) -> None:
        self._forced = state

    @property
    def _cache(self) -> _Cache:
        """The results that are not there yet."""
        return _Cache(self._core)

    # Workers

    @property
    def _pool(self) -> list[Any]:
        """The workers."""
        return list(self._core.engine.workers.values())

    def _repopulate_pool(self) -> None:
        """Replace workers that have ended, now; it happens by itself as well."""
        self._core.replenish()

    def _get_sentinels(self) -> list[int]:
        return self._get_worker_sentinels(self._pool)

    @staticmethod
    def _get_worker_sentinels(workers: Iterable[Any]) -> list[int]:
        return [worker.sentinel for worker in workers if hasattr(worker, "sentinel")]

    @property
    def _worker_handler(self) -> _Handler:
        return _Handler(self._core)

    _task_handler = _result_handler = _worker_handler

    # Queues

    def _setup_queues(self) -> None:
        """Nothing: a pool's rings belong to its engine."""

    @property
    def _taskqueue(self) -> _TaskQueue:
        return _TaskQueue(self._core)

    @property
    def _inqueue(self) -> Any:
        """Tasks that no worker has taken. To be looked at (`qsize`, `empty`), no more."""
        return self._core.engine.tasks

    @property
    def _outqueue(self) -> Any:
        """Answers that nobody has taken in yet. To be looked at, no more."""
        return self._core.engine.answers

    @property
    def _quick_put(self) -> Callable[..., Any]:
        return _refuse

    _quick_get = _quick_put

    # Tasks of a program's own making

    def _guarded_task_generation(self, job: Any, function: Any, items: Iterable[Any]) -> _Calls:
        return _Calls(job, function, items)

    @staticmethod
    def _get_tasks(function: Any, items: Iterable[Any], size: int) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        items = iter(items)
        while chunk := tuple(islice(items, size)):
            yield function, chunk


class _Handler:
    """Stands for the standard pool's threads, of which there are none."""

    name, daemon = "procession-pool", True

    def __init__(self, core: Supervisor) -> None:
        self._core = core

    def is_alive(self) -> bool:
        """Whether the pool runs."""
        return self._core.error is None and self._core.state.accepts

    def join(self, timeout: float | None = None) -> None:
        """Nothing to wait for."""


class _Cache:
    """The results that are not there yet, by their names: themselves. Looking at it takes in what answers there are."""

    def __init__(self, core: Supervisor) -> None:
        self._core = core

    def _jobs(self) -> list[Any]:
        self._core.look()
        owner = self._core.dispatcher.owner
        found = (owner(number) for number in self._core.dispatcher.numbers())
        return list({id(entry[0]): entry[0] for entry in found if entry is not None}.values())

    def __len__(self) -> int:
        return len(self._jobs())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._jobs())

    def __contains__(self, job: object) -> bool:
        return any(job is other for other in self._jobs())

    def __getitem__(self, job: Any) -> Any:
        return job

    def keys(self) -> list[Any]:
        """The names."""
        return self._jobs()

    values = keys


class _Calls:
    """A function and its items, one call each, for a result that is to be iterated over."""

    def __init__(self, job: Any, function: Any, items: Iterable[Any]) -> None:
        self.job, self.function, self.items = job, function, items

    def __iter__(self) -> Iterator[tuple[Any, int, Any, tuple[Any, ...], dict[str, Any]]]:
        for index, item in enumerate(self.items):
            yield self.job, index, self.function, (item,), {}


class _TaskQueue:
    """Where programs put tasks, as the standard pool does: an iterable of them, and whom to tell their number."""

    def __init__(self, core: Supervisor) -> None:
        self._core = core

    def qsize(self) -> int:
        """Tasks that no worker has taken."""
        return self._core.engine.waiting

    def empty(self) -> bool:
        """Whether there are none."""
        return self.qsize() == 0

    def put(self, work: tuple[Iterable[Any], Any] | None) -> None:
        """Submit tasks, `(result._job, index, function, args, kwds)` each. Raises: as `Pool.apply_async`."""
        if work is None:
            return  # "no more": the pool knows by `close`
        tasks, _ = work
        if isinstance(tasks, _Calls) and isinstance(tasks.job, IMapIterator):
            tasks.job.begin(self._core, tasks.function, tasks.items, 1)
            return
        jobs = {}
        for job, index, function, args, kwds in tasks:
            jobs[id(job)] = job
            self._submit(job, index, function, tuple(args), dict(kwds))
        for job in jobs.values():
            job.seal()

    def _submit(self, job: Any, index: int, function: Any, args: tuple[Any, ...], kwds: dict[str, Any]) -> None:
        if isinstance(job, MapResult):
            kind = {"mapstar": ONE, "starmapstar": STAR}.get(function.__name__)
            if kind is None:
                raise TypeError(f"the tasks of a MapResult call mapstar or starmapstar, not {function!r}")
            inner, items = args[0]
            job._function = inner
            self._core.submit(job, inner, kind | MANY, index * job._chunksize, [list(items)])
        elif isinstance(job, AsyncResult):
            job._function, job._given = function, (args, kwds)
            self._core.submit(job, function, CALL, index, [(args, kwds)])
        else:
            raise TypeError(f"{job!r} is no result that this pool could fill")


def _refuse(*_: Any) -> Any:
    raise NotSupported("tasks go through a pool's methods, or its _taskqueue; it has no pipe of its own")
