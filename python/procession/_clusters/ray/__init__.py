"""Ray as a cluster: one that is there, by its client port or from within, or one started on this machine.

All calls of a program's functions go through one remote function, for Ray registers each with the whole cluster. How
often a call is made again whose worker died is Ray's setting (RAY_TASK_MAX_RETRIES, 3 times by default). Ray tells of
an answer by a callback from a thread of its own (`_on_completed`, upon which its `ObjectRef.future` stands, which costs
twice as much). A thread of ours that asks for batches with `ray.wait` is a little cheaper when there are many, and late
when there are few.

A program has one Ray, whoever connected it, and so has a worker: what is connected already is used, and left connected.
What Ray has no answer for: `keeper` has the state of locks and queues in an actor, `primitives` are the views of it.
`starting` starts one or reaches it, `fates` knows what Ray's errors mean.
"""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import Future
from contextlib import suppress

import ray

from ...errors import ClusterError, ClusterLost, EngineMissing, NotSupported, VersionMismatch
from .fates import fate_of, own_error
from .keeper import start_keeper
from .primitives import KINDS
from .starting import connect, start

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["RayCluster", "adopt", "open"]

ANSWER_S = 20.0  # for a worker to say what it has; Ray starts one in two


def adopt(client: Any) -> RayCluster:
    """The Ray that this program is connected to, as `ray.init()` returned it. Raises: ClusterError when it is not."""
    if not ray.is_initialized():
        raise ClusterError(f"this program is not connected to Ray any more (as {client!r} says): call ray.init()")
    return _joined("ray://auto")


def open(address: str | None) -> RayCluster:
    """The Ray at `address`, "host:port" of its client server or "auto" for the one of this machine; None starts one.

    What this program, or the worker that this is, is connected to already is used for None and "auto", in a worker
    always. Blocks for half a minute at most. Raises: ClusterUnreachable, VersionMismatch, EngineMissing.
    """
    if ray.is_initialized():
        if address in (None, "auto") or _is_worker():
            return _joined("ray" if address is None else f"ray://{address}")
        raise ClusterError(
            f"this program is connected to a Ray already, and can be to one only: get_context('ray://auto') for that "
            f"one, or ray.shutdown() before ray://{address}",
            cluster=f"ray://{address}",
        )
    if address is None:
        return RayCluster("ray", start())
    name = f"ray://{address}"
    connect(address, name)
    return _joined(name, end=ray.shutdown)


def _is_worker() -> bool:
    worker: Any = ray._private.worker
    return bool(worker.global_worker.mode == worker.WORKER_MODE)


def _joined(name: str, end: Callable[[], object] | None = None) -> RayCluster:
    cluster = RayCluster(name, end)
    try:
        if not _is_worker():
            cluster.check()
    except BaseException:
        cluster.close()
        raise
    return cluster


# Calls


def _call(function: Any, *arguments: Any) -> Any:
    """In a worker."""
    return function(*arguments)


def _parts(function: Any, parts: int, *arguments: Any) -> Any:
    """In a worker: the values one by one, of which Ray wants a single one bare."""
    values = function(*arguments)
    return values[0] if parts == 1 else values


class _Call(Future[object]):
    """A call that Ray has. When it is cancelled what comes of it is dropped, also if a worker is at it."""

    reference: Any = None

    def cancel(self) -> bool:
        """See `Submitted`. A worker that is at it is interrupted, as by Ctrl-C."""
        if not super().cancel():
            return False
        if ray.is_initialized():  # Ray would start another one
            with suppress(Exception):  # it has ended, or all has
                ray.cancel(self.reference)
        return True

    def settle(self, answer: Any) -> None:
        """Take what Ray answers: a value, or an error of its own. In a thread of Ray's."""
        if not self.set_running_or_notify_cancel():
            return
        if isinstance(answer, ray.exceptions.RayError | ConnectionError):  # the second from a client that lost its Ray
            self.set_exception(own_error(answer))
        else:
            self.set_result(answer)

    def fail(self, error: BaseException) -> None:
        """Give it up, if it has not ended."""
        if not self.done() and self.set_running_or_notify_cancel():
            self.set_exception(error)


class RayCluster:
    """The Ray that this program is connected to. The `Cluster` of it."""

    is_near = False
    has_main = False

    def __init__(self, name: str, end: Callable[[], object] | None) -> None:
        self.name, self._end = name, end
        self.address: str | None = "ray://auto" if name == "ray" else name
        self._remote: Any = ray.remote(_call)
        self._own_remotes: dict[Any, Any] = {}  # by function, of our own: Ray need not pickle it for each call
        self._remote_parts: Any = ray.remote(_parts)
        self._calls: set[_Call] = set()
        self._own = secrets.token_hex(8)
        self._keepers: dict[str | None, tuple[str, Any]] = {}  # names and handles: for `_own`, and of what has a name
        self._lock = threading.Lock()  # for the two above
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def check(self) -> None:
        """Ask a worker which procession it has. Raises: VersionMismatch, EngineMissing, ClusterLost.

        One that does not answer in time (all are starting up, say) is not waited for longer.
        """
        mine = _procession()
        with suppress(ray.exceptions.GetTimeoutError):
            theirs = ray.get(ray.remote(_teller()).options(num_cpus=0).remote(), timeout=ANSWER_S)
            if theirs is None:
                raise EngineMissing(f"the workers of {self.name} have no procession: install {mine} there")
            if theirs != mine:
                raise VersionMismatch(
                    f"the workers of {self.name} have procession {theirs}, and this program {mine}: install the same",
                    cluster=self.name,
                    here=mine,
                    there=theirs,
                )

    def size(self) -> int:
        """See `Cluster`: CPUs, for a call takes one."""
        self._be_there()
        resources: Any = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return max(1, int(resources.get("CPU", 1)))

    def submit(self, function: Any, *arguments: Any) -> _Call:
        """See `Cluster`. Raises: ClusterLost."""
        self._be_there()
        call = _Call()
        call.reference = self._remote_of(function, arguments)
        with self._lock:
            self._calls.add(call)
        call.add_done_callback(self._forget)
        call.reference._on_completed(call.settle)
        return call

    def _remote_of(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        if not getattr(function, "__module__", "").startswith("procession."):
            return self._remote.remote(function, *arguments)
        remote = self._own_remotes.get(function)
        if remote is None:
            remote = self._own_remotes[function] = ray.remote(function)
        return remote.remote(*arguments)

    def _forget(self, call: Any) -> None:
        with self._lock:
            self._calls.discard(call)

    def keep(self, value: Any) -> Any:
        """See `Cluster`. Raises: ClusterLost."""
        self._be_there()
        return ray.put(value)

    def spread(self, parts: int, function: Any, *arguments: Any) -> list[Any]:
        """See `Cluster`. Raises: ClusterLost."""
        self._be_there()
        references = self._remote_parts.options(num_returns=parts).remote(function, parts, *arguments)
        return [references] if parts == 1 else list(references)

    def primitive(self, kind: str, *arguments: Any, name: str | None = None) -> Any:
        """See `Cluster`. State lies in an actor: of this program's, or for those with a name one that outlives it."""
        make = KINDS.get(kind)
        if make is None:
            instead = {"Array": "ctx.Value for each, or what ctx.Pool().map returns"}.get(
                kind, "ctx.Event or ctx.Queue"
            )
            raise NotSupported(f"{self.name} has no {kind}: use {instead}")
        self._be_there()
        from ..shipping import Shipping

        own = None if name is not None else self._own
        with self._lock:
            if own not in self._keepers:
                self._keepers[own] = start_keeper(own)
            keeper, _ = self._keepers[own]
        return make(keeper, (kind, name or secrets.token_hex(8)), *arguments, dumps=Shipping(self).dumps)

    def fate(self, error: BaseException) -> BaseException | None:
        """See `Cluster`."""
        return fate_of(error, self.name)

    def _be_there(self) -> None:
        """Ray would start another one by itself."""
        if self._is_closed or not ray.is_initialized():
            why = "was closed" if self._is_closed else "is not connected any more: somebody called ray.shutdown()"
            raise ClusterLost(f"{self.name} {why}", cluster=self.name)

    def close(self) -> None:
        """See `Cluster`."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            calls = list(self._calls)
        for call in calls:
            call.fail(ClusterLost(f"{self.name} was closed before the call ended", cluster=self.name))
        if self._own in self._keepers and ray.is_initialized():
            with suppress(Exception):
                ray.kill(self._keepers[self._own][1])
        if self._end is not None:
            self._end()


def _procession() -> str:
    from importlib.metadata import version

    return version("procession")


def _teller() -> Callable[[], str | None]:
    """Made here, so that it travels by value to workers that may have nothing of ours."""

    def tell() -> str | None:
        from importlib import metadata

        try:
            return metadata.version("procession")
        except metadata.PackageNotFoundError:
            return None

    return tell
