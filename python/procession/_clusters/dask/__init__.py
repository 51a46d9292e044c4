"""Dask as a cluster: calls go to a scheduler (`distributed.Client`), which sees to workers, moves data and retries.

What a call costs is the scheduler's work for it, about a millisecond, whatever the call is. So calls that are handed
over while another handing over is on its way go as one graph (`Client.map` costs a fifth less than as many `submit`s),
and results are brought here by the client's own loop, which asks for many at a time; a `result()` in a thread of ours
for each would cost a round trip for each. That Dask does not get to see into arguments, as it does in search of
futures, is `shipping`'s doing: they come here as bytes.

A worker that dies is Dask's to replace: its calls are made again elsewhere, as is what was computed on it and is still
wanted. Only what was scattered there is gone for good, so `keep` remembers the value, and puts it there again.

Dropped: an asynchronous client of our own, in a loop of our own. It would use no `_result`, the one private name here,
but futures of a client that the user made could not be arguments then.
"""

# mypy: disallow-untyped-calls=false
# (much of Dask has no types)

from __future__ import annotations

import asyncio
import functools
import itertools
import operator
import pickle
import threading
from concurrent.futures import Future

import distributed
from distributed.client import ClosedClientError, FutureCancelledError
from distributed.comm.core import CommClosedError
from distributed.protocol.pickle import dumps
from distributed.scheduler import KilledWorker

from ...errors import ClusterError, ClusterLost, ProcessionError, VersionMismatch, WorkerDied
from .. import patience
from .joining import LocalCluster, compare, connect, disconnect, missing, not_installed, opened

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["DaskCluster", "adopt", "open"]

_LARGE = 8 << 20  # bytes; Dask warns of graphs from 10 MB on


def open(address: str | None) -> DaskCluster:
    """The cluster of the scheduler at "host:port"; None: one on this machine with a worker process for each CPU.

    Blocks until the scheduler has answered. Raises: ClusterUnreachable if it has not within 10 seconds (or as many as
    the environment variable PROCESSION_CLUSTER_TIMEOUT says); VersionMismatch; ValueError for an impossible address.
    """
    if address is not None:
        return _checked(connect(address), f"dask://{address}", is_ours=True)
    local = LocalCluster()
    return _checked(connect(local.address), f"dask://{local.address}", is_ours=True, local=local)


def adopt(client: distributed.Client) -> DaskCluster:
    """The cluster of somebody's client. `close` leaves it running. Raises: as `open`; TypeError for one in asyncio."""
    if client.asynchronous:
        raise TypeError("a Client(asynchronous=True) belongs to an event loop: make another one, without that")
    scheduler: Any = client.scheduler
    return _checked(client, f"dask://{scheduler.address.removeprefix('tcp://')}", is_ours=False)


def _checked(client: Any, name: str, **ours: Any) -> DaskCluster:
    """The cluster, if its parts and this program can work together; else it is closed."""
    cluster = DaskCluster(client, name, **ours)
    try:
        compare(cluster)
    except BaseException:
        cluster.close()
        raise
    return cluster


class DaskCluster:
    """A scheduler and its workers, through a client. The `Cluster` of it."""

    is_near = has_main = False

    def __init__(self, client: Any, name: str, *, is_ours: bool, local: LocalCluster | None = None) -> None:
        """`is_ours`: the client is to be closed with this; `local`: so is that."""
        self.client, self.name, self._is_ours, self._local = client, name, is_ours, local
        self.address = None if name.startswith("dask://inproc:") else name
        self._lock = threading.Lock()
        self._handed: list[_Call] = []  # not yet in a graph
        self._bringing: set[asyncio.Task[None]] = set()  # a loop keeps only weak references to its tasks
        self._owned: list[Callable[[], object]] = []  # ends of primitives that go with this
        self.is_closed = False
        opened.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def size(self) -> int:
        """See `Cluster`."""
        threads: dict[str, int] = self.ask(self.client.scheduler.ncores)
        return sum(threads.values()) or 1

    def ask(self, question: Callable[..., Any], **details: Any) -> Any:
        """What the scheduler answers. Raises: ClusterLost if it is gone, or does not answer for some seconds."""
        self._check_running()
        try:
            return self.client.sync(question, callback_timeout=patience(), **details)
        except OSError as error:
            raise self._lost(error) from error

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        """See `Cluster`. A graph is made in the client's loop: what cannot be sent is the error of the call."""
        self._check_running()
        arguments = tuple(self._apart(argument) for argument in arguments)
        call = _Call(self, _packed(function, arguments), arguments)
        with self._lock:
            self._handed.append(call)
            is_first = len(self._handed) == 1
        if is_first:
            self.client.loop.add_callback(self._hand_over)
        return call

    def keep(self, value: Any) -> _Kept:
        """See `Cluster`. Every worker that is there now gets a copy. Raises: ClusterError if there is none."""
        return self._put(_Kept(value, everywhere=True))

    def _put(self, kept: _Kept) -> _Kept:
        self._check_running()
        self.client.sync(kept.put, self)
        return kept

    def _apart(self, argument: Any) -> Any:
        """What is large goes to the worker that will take the call, and not into a graph, which the scheduler keeps."""
        is_large = isinstance(argument, bytes) and len(argument) >= _LARGE
        return self._put(_Kept(argument, everywhere=False)) if is_large else argument

    def spread(self, parts: int, function: Any, *arguments: Any) -> list[Any]:
        """See `Cluster`. The parts lie where the function ran until somebody wants them elsewhere."""
        self._check_running()
        whole = self.client.submit(*_task(_packed(function, arguments), arguments), pure=False)
        futures: list[Any] = self.client.map(operator.getitem, [whole] * parts, range(parts), pure=False, key="part")
        # The scheduler hears at once that nobody wants the whole, and may not have unpacked the graph yet that does
        futures[0].add_done_callback(lambda _, until_then=(whole, arguments): None)
        return futures

    def primitive(self, kind: str, *arguments: Any, name: str | None = None) -> Any:
        """See `Cluster`."""
        from .primitives import make

        self._check_running()
        try:
            return make(self, kind, arguments, name)
        except ProcessionError:
            raise
        except OSError as error:
            raise self._lost(error) from error

    def fate(self, error: BaseException) -> BaseException | None:
        """See `Cluster`. When a worker dies, Dask makes its calls again: by default on three more, then it gives up."""
        ours: BaseException
        if isinstance(error, KilledWorker):
            last = error.last_worker.address
            ours = WorkerDied(
                f"{error.allowed_failures + 1} workers of {self.name} died one after the other at this task, the last "
                f"was {last}: its log may say why; distributed.scheduler.allowed-failures says how many may",
                name=last,
            )
        elif isinstance(error, FutureCancelledError) and error.reason == "lost dependencies":
            ours = WorkerDied(f"the workers of {self.name} died that had what this task works on")
        elif isinstance(error, (FutureCancelledError, CommClosedError, ClosedClientError)):
            ours = self._lost(error)
        elif missing(error) is not None:
            ours = VersionMismatch(not_installed(f"part of {self.name}"), cluster=self.name)
        else:
            return None
        ours.__cause__ = error
        return ours

    def close(self) -> None:
        """See `Cluster`. What was still to be done fails with ClusterLost."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.client.status == "running":
            for end in self._owned:
                end()
        if self.client.status != "closed":
            self.client.sync(self._forsake)
        if self._is_ours:
            disconnect(self.client)
        if self._local is not None:
            self._local.close()

    def owns(self, end: Callable[[], object]) -> None:
        """Have this called when the cluster is closed, if the scheduler is there then."""
        self._owned.append(end)

    def _check_running(self) -> None:
        if self.is_closed or self.client.status != "running":
            raise self._lost()

    def _lost(self, error: BaseException | None = None) -> ClusterLost:
        if self.is_closed:
            return ClusterLost(f"the connection to {self.name} was closed here", cluster=self.name)
        why = f": {error}" if error is not None else ""
        return ClusterLost(
            f"the Dask scheduler of {self.name} is gone, and with it what it had to do{why}", cluster=self.name
        )

    # In the client's loop

    def _hand_over(self) -> None:
        """Make a graph of what was handed over since the last one."""
        with self._lock:
            calls, self._handed = self._handed, []
        waiting = [call for call in calls if not call.cancelled()]
        for _, alike in itertools.groupby(waiting, key=lambda call: call.task()[0]):
            self._send(list(alike))

    def _send(self, calls: list[_Call]) -> None:
        functions, *columns = map(list, zip(*(call.task() for call in calls), strict=True))
        try:
            futures = self.client.map(functions[0], *columns, pure=False, key="procession")
        except Exception as error:
            if len(calls) > 1:
                for call in calls:  # each has its own error, or none
                    self._send([call])
            else:
                calls[0].fail(error)
            return
        for call, future in zip(calls, futures, strict=True):
            call.bringing = task = asyncio.ensure_future(self._bring(call, future))
            self._bringing.add(task)
            task.add_done_callback(self._bringing.discard)

    async def _bring(self, call: _Call, future: Any) -> None:
        """Wait for a call's value and hand it on. When this ends so does the interest in it, and Dask takes note."""
        try:
            value = await future._result()
        except FutureCancelledError as error:
            if error.reason == "lost dependencies" and await self._put_again(call):
                self._send([call])
            else:
                call.fail(error)
        except asyncio.CancelledError:
            call.fail(self._lost())
        except Exception as error:
            call.fail(error)
        else:
            if call.set_running_or_notify_cancel():
                call.set_result(value)

    async def _put_again(self, call: _Call) -> bool:
        """Scatter again what this call works on and died with its workers. False: it was none of that."""
        gone = [kept for kept in call.arguments if isinstance(kept, _Kept) and kept.is_gone]
        for kept in gone:
            await kept.put(self)
        return bool(gone)

    async def _forsake(self) -> None:
        for task in tuple(self._bringing):
            task.cancel()
        await asyncio.gather(*self._bringing, return_exceptions=True)


# What Dask is sent of a call. It names the standard library only: a worker that lacks procession, or whatever else is
# named, would die of the message; so it fails in the task, and can say so. (A function of ours that goes by value does
# the same, and costs a millisecond a task.)


class _Made:
    """Unpickled, it is what a call gives: the cheapest task, and Dask finds nothing in it to look through."""

    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def _packed(function: Any, arguments: tuple[Any, ...]) -> bytes:
    made = functools.partial(_apply, function) if _some_are_there(arguments) else _Made(function, arguments)
    packed: bytes = dumps(made)
    return packed


def _task(packed: bytes, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """A function and its arguments. Where there are futures among them it is `loads(packed)(arguments)`."""
    if not _some_are_there(arguments):
        return pickle.loads, packed
    standing = [argument.future if isinstance(argument, _Kept) else argument for argument in arguments]
    return functools.reduce, operator.call, [packed, standing], pickle.loads


def _apply(function: Any, arguments: list[Any]) -> Any:
    return function(*arguments)


def _some_are_there(arguments: tuple[Any, ...]) -> bool:
    """Whether any stands for what lies with the workers."""
    return any(isinstance(argument, _Kept | distributed.Future) for argument in arguments)


class _Call(Future["Any"]):
    """A call that was handed over."""

    bringing: asyncio.Task[None] | None = None

    def __init__(self, cluster: DaskCluster, packed: bytes, arguments: tuple[Any, ...]) -> None:
        super().__init__()
        self._cluster, self.arguments, self._packed = cluster, arguments, packed

    def task(self) -> tuple[Any, ...]:
        """What Dask is sent."""
        return _task(self._packed, self.arguments)

    def cancel(self) -> bool:
        """As of any future, and True also if a worker has begun with it, as in Dask: what comes of it is dropped."""
        if not super().cancel():
            return False
        self._cluster.client.loop.add_callback(self._drop)
        return True

    def _drop(self) -> None:
        if self.bringing is not None:
            self.bringing.cancel()

    def fail(self, error: BaseException) -> None:
        if self.set_running_or_notify_cancel():
            self.set_exception(error)


class _Kept:
    """Stands for a value that was scattered. Dask forgets it when this is dropped and no task wants it."""

    future: Any

    def __init__(self, value: Any, *, everywhere: bool) -> None:
        self._value, self._everywhere = value, everywhere

    async def put(self, cluster: DaskCluster) -> None:
        """Have it scattered. In the client's loop. Raises: ClusterError."""
        try:
            (self.future,) = await cluster.client._scatter(
                [self._value], hash=False, broadcast=self._everywhere, timeout=patience()
            )
        except TimeoutError as error:
            raise ClusterError(
                f"{cluster.name} has no worker to keep a value: start some with `dask worker {cluster.address}`",
                cluster=cluster.name,
            ) from error
        except OSError as error:
            raise cluster._lost(error) from error

    @property
    def is_gone(self) -> bool:
        """All that had it died."""
        return bool(self.future.status in ("cancelled", "lost"))
