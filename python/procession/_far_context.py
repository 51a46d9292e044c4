"""Contexts whose work runs on a cluster: they make the cluster's own primitives, and refuse the rest clearly.

Pools and executors are as everywhere (`Factories`). Anything with state that tasks share is the cluster's, for its
workers have no memory in common with this program; only what lies in a file (`path=`) is where files are.
"""

from __future__ import annotations

import os
import sys
import threading

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable
    from typing import Any, ClassVar

    from ._clusters import Cluster

__all__ = ["Far"]


_USUAL = {"lock": True, "max_bytes": 0, "max_deliveries": 0, "on_abandoned": "warn"}  # said, or not said: the same


def _primitive(kind: str, *names: str) -> Any:
    """The method that makes one of the cluster's own, by the `names` of its arguments."""

    def make(self: Any, *arguments: Any, name: str | None = None, path: Any = None, **options: Any) -> Any:
        if path is not None:
            return getattr(super(Far, self), kind)(*arguments, path=path, **options)
        given = [*arguments, *(options.pop(option) for option in names[len(arguments) :] if option in options)]
        options = {option: value for option, value in options.items() if _USUAL.get(option, ...) != value}
        if options:
            from .errors import NotSupported

            refused = ", ".join(f"{option}=" for option in options)
            raise NotSupported(f"{kind}: {refused} is for what lies in one machine's memory, not {self.cluster.name}")
        return self.cluster.primitive(kind, *given, name=name)

    make.__name__, make.__qualname__ = kind, f"Far.{kind}"
    make.__doc__ = f"""The cluster's own {kind}. `name`: all who give the same share it; `path`: it lies in a file.

        Raises: NotSupported, with the alternative, where the cluster has none.
        """
    return make


def _refusal(kind: str, instead: str) -> Any:
    """The method for what no cluster has."""

    def refuse(self: Any, *arguments: Any, **options: Any) -> Any:
        from .errors import NotSupported

        raise NotSupported(f"{self.cluster.name} has no {kind}: use {instead}")

    refuse.__name__, refuse.__qualname__ = kind, f"Far.{kind}"
    refuse.__doc__ = "Raises: NotSupported, with the alternative."
    return refuse


class Far:
    """The part of a cluster's context that is not every context's. Not for a process forked since.

    Its primitives have the methods that those of other contexts have, where they can. `close`, or leaving a `with`
    block, lets go of the cluster, and ends it if it was started for this; so does the interpreter's end. `cluster` is
    the seam to it (`_clusters.Cluster`).
    """

    _known: ClassVar[dict[str, Any]] = {}  # the open ones, by address

    @classmethod
    def of(cls, what: Any) -> Any:
        """The context on a cluster: of an address the one there is, if it is open."""
        from ._clusters import open_cluster

        known = cls._known.get(what) if isinstance(what, str) else None
        if known is None or known._pid != os.getpid() or not known._finish.still_active():
            known = cls(open_cluster(what))
            if isinstance(what, str):
                cls._known[what] = known
        return known

    def __init__(self, cluster: Cluster) -> None:
        import weakref
        from contextlib import suppress
        from multiprocessing import util

        self._cluster, self._pid = cluster, os.getpid()
        self.engines: weakref.WeakSet[Any] = weakref.WeakSet()  # of the pools and executors that run on it
        # In a child, after pools are terminated (15); elsewhere before, see `_finish_early`
        self._finish = util.Finalize(self, _end, args=(self.engines, cluster), exitpriority=10)
        with suppress(RuntimeError):  # opened while the interpreter ends
            threading._register_atexit(_finish_early, self._finish)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._cluster.name}{'' if self._finish.still_active() else ' (closed)'}>"

    @property
    def cluster(self) -> Cluster:
        """Raises: ClusterError in a process forked since it was opened, and after `close`."""
        if self._pid == os.getpid() and self._finish.still_active():
            return self._cluster
        from .errors import ClusterError

        why = "was closed" if self._pid == os.getpid() else f"belongs to process {self._pid}, a parent of this one"
        raise ClusterError(f"{self._cluster.name} {why}: call get_context again, here", cluster=self._cluster.name)

    def cpu_count(self) -> int:
        """How many calls the cluster can make at a time, as things stand."""
        return self.cluster.size()

    def get_start_method(self, allow_none: bool = False) -> str:
        """Name of the cluster."""
        return self._cluster.name

    def close(self) -> None:
        """Let go of the cluster; end it if it was started for this context. Bounded in time.

        What its pools and executors have outstanding is cancelled, as far as it has not begun.
        """
        if self._pid == os.getpid():
            self._finish()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        if self._cluster.address is None:
            from .errors import NotSupported

            raise NotSupported(
                f"a context on {self._cluster.name}, an object of this process, cannot be sent elsewhere"
            )
        return _again, (self._cluster.address,)

    # What it makes, besides pools and executors

    Queue: Any = _primitive("Queue", "maxsize")
    JoinableQueue: Any = _primitive("JoinableQueue", "maxsize")
    SimpleQueue: Any = _primitive("SimpleQueue")
    Lock: Any = _primitive("Lock")
    RLock: Any = _primitive("RLock")
    Condition: Any = _primitive("Condition", "lock")
    Semaphore: Any = _primitive("Semaphore", "value")
    BoundedSemaphore: Any = _primitive("BoundedSemaphore", "value")
    Event: Any = _primitive("Event")
    Barrier: Any = _primitive("Barrier", "parties", "action", "timeout")
    Value: Any = _primitive("Value", "typecode_or_type")
    Array: Any = _primitive("Array", "typecode_or_type", "size_or_initializer")

    Process: Any = _refusal(
        "Process", "ctx.Executor().submit(f), ctx.Pool().apply_async(f), or get_context('fork').Process"
    )
    Thread: Any = _refusal("Thread", "ctx.Executor().submit(f), or threading.Thread for one here")
    Pipe: Any = _refusal("Pipe", "two of ctx.Queue(), one for each direction")
    Manager: Any = _refusal(
        "Manager", "ctx.Value, ctx.Lock and ctx.Queue, or an object of the cluster's own (an actor)"
    )
    RawValue: Any = _refusal("RawValue", "ctx.Value")
    RawArray: Any = _refusal("RawArray", "ctx.Array, or what ctx.Pool().map returns")


def _end(engines: weakref.WeakSet[Any], cluster: Cluster) -> None:
    for engine in list(engines):
        engine.kill()
    cluster.close()


def _finish_early(finish: Callable[[], object]) -> None:
    """At the interpreter's end, before it joins threads: later Dask has lost its own, in the middle of what it does."""
    ending = sys.modules.get(f"{__package__}.executor.ending")
    if ending is not None:
        ending.finish_all()  # everything that was submitted to executors is done first
    finish()


def _again(address: str) -> Any:
    """The context on the same cluster in another process. The package stands above this module."""
    return sys.modules[__name__.partition(".")[0]].get_context(address)
