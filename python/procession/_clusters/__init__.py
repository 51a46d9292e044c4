"""Clusters: each knows one way to have functions called somewhere by workers that are not ours to start.

Where a context's engine (`_engines`) runs a process, a cluster only takes calls: to a Dask scheduler, to Ray, to any
`concurrent.futures.Executor`. On this seam stand the whole pool (`pool/far`), the executor, and the primitives of such
a context, so an implementation is small: it hands a call over and says when it is done. It retries nothing, packs
nothing and counts nothing. One implementation a file, imported when named; each has

    open(address: str | None) -> Cluster      # for an address; None: one on this machine, which `close` ends
    adopt(client) -> Cluster                  # for a client object that its user made, and will close

`shipping` says how functions and values travel, `serving` is what the workers call.
"""

from __future__ import annotations

from importlib import import_module

from .. import _variables
from ..errors import EngineMissing

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol
else:
    Protocol = object

__all__ = ["PATIENCE_VARIABLE", "SCHEMES", "Cluster", "Submitted", "names_a_cluster", "open_cluster", "patience"]

PATIENCE_VARIABLE = "PROCESSION_CLUSTER_TIMEOUT"
PATIENCE_S = 10.0


def patience() -> float:
    """Seconds to wait for somebody to answer at a cluster's address. Raises: ValueError if the variable has no number.

    A variable of the environment, so that who runs a program can say it who did not write it.
    """
    return _variables.parsed(PATIENCE_VARIABLE, _seconds, "a number of seconds above 0") or PATIENCE_S


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(text)
    return seconds


class Submitted(Protocol):
    """A call that was handed over: a `concurrent.futures.Future`, or what does as it does."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Have `fn(this)` called when the call has ended, whichever way, in any thread; at once if it has.

        When it is called the value is here: `result` then neither blocks nor asks anybody.
        """

    def result(self, timeout: float | None = None) -> Any:
        """What the function returned; or raise what it raised, or what became of its worker."""

    def cancel(self) -> bool:
        """Have the call not be made. False: too late, or nobody can say. Never blocks."""


class Cluster(Protocol):
    """Where calls go. May be used by several threads; not in a process forked since."""

    name: str
    """For people and messages, as "dask://10.0.0.1:8786"."""

    address: str | None
    """What `get_context` in another process takes for the same cluster; None where no other process can reach it."""

    is_near: bool
    """The workers are threads of this process: what is submitted is not pickled, and need not be."""

    has_main: bool
    """Workers have this program's modules, the main one included: its functions may travel by name."""

    def size(self) -> int:
        """How many calls can be made at a time (threads of execution of all workers) as things stand; at least 1."""

    def submit(self, function: Any, *arguments: Any) -> Submitted:
        """Have `function(*arguments)` called in a worker. Blocks no longer than handing over takes.

        An argument (not one inside another) may be what `keep` or `spread` returned, and arrives as the value that it
        stands for. A call whose worker dies may be made again by the engine, as often as its user told it to. When the
        scheduler is gone every call ends with an error within seconds; none is silent for ever.
        """

    def keep(self, value: Any) -> Any:
        """Put a value to where all workers can reach it, once; returns what stands for it in `submit`.

        It stays there as long as what was returned lives. (A plain executor has no such place: the value itself.)
        """

    def spread(self, parts: int, function: Any, *arguments: Any) -> list[Any]:
        """As `submit`, of a function that returns `parts` values, which stay where they are. What stands for each."""

    def primitive(self, kind: str, *arguments: Any, name: str | None = None) -> Any:
        """One of the engine's own distributed "Queue", "JoinableQueue", "Lock", "RLock", "Event", "Semaphore",
        "BoundedSemaphore", "Condition", "Barrier", "Value", ... as the context's method of that name, with its methods.

        `name`: all who give the same share it. Raises: NotSupported naming the alternative.
        """

    def fate(self, error: BaseException) -> BaseException | None:
        """An engine's own error of a call, as ours: WorkerDied when its worker was lost and the engine gave up,
        ClusterLost when everything is, VersionMismatch. None: it says nothing of the cluster."""

    def close(self) -> None:
        """Let go of the connection; end the cluster if `open` started it. May be called twice. Bounded in time."""


# Addresses

SCHEMES = {"dask": "dask", "ray": "ray", "subinterpreters": "executor"}  # and the modules here that know them

_MODULES_OF_CLIENTS = {"distributed": "dask", "ray": "ray"}  # by the top package of a client's class


def names_a_cluster(what: object) -> bool:
    """Whether `get_context` is asked for a cluster: by a scheme, an address with one, or an object that is no name."""
    return what is not None and (not isinstance(what, str) or what in SCHEMES or "://" in what)


def open_cluster(what: Any) -> Cluster:
    """The cluster that an address names ("dask://host:port", "ray", ...), or that a client or an executor is.

    Blocks until it answers, for some seconds at most. Raises: ValueError for an address of no known kind, TypeError for
    an object of none; EngineMissing, ClusterUnreachable, VersionMismatch.
    """
    if not isinstance(what, str):
        cluster: Cluster = _implementation(_kind_of(what)).adopt(what)
        return cluster
    scheme, separator, place = what.partition("://")
    if scheme not in SCHEMES or (separator and not place) or (separator and scheme == "subinterpreters"):
        raise ValueError(f"cannot find a cluster at {what!r}: {_advice(scheme, place)}")
    opened: Cluster = _implementation(SCHEMES[scheme]).open(place or None)
    return opened


def _advice(scheme: str, place: str) -> str:
    if scheme in SCHEMES:
        return "an address is scheme://host:port" if scheme != "subinterpreters" else "they have no address"
    known = "'dask://host:port', 'ray://host:port', 'dask', 'ray', 'subinterpreters'"
    guess = f" (a Dask scheduler is 'dask://{place}' here)" if scheme in ("tcp", "tls", "ws") and place else ""
    return f"there are {known}, and client objects of Dask and concurrent.futures executors{guess}"


def _kind_of(client: object) -> str:
    """Which module here knows such an object; no package is imported for that."""
    from concurrent.futures import Executor

    if isinstance(client, Executor):
        return "executor"
    for cls in type(client).__mro__:
        package = cls.__module__.partition(".")[0]
        if package in _MODULES_OF_CLIENTS:
            return _MODULES_OF_CLIENTS[package]
    raise TypeError(
        f"cannot run work on {client!r}: a context is a name, an address ('dask://host:port'), a distributed.Client, "
        "or a concurrent.futures.Executor"
    )


def _implementation(module: str) -> Any:
    try:
        return import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("procession"):
            raise
        raise EngineMissing(
            f"{module} needs the package {error.name!r}, which is not installed: pip install 'procession[{module}]'"
        ) from error
