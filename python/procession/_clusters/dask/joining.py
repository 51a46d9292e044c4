"""How a program gets to a Dask scheduler: is it there, does it have what this program has; and one on this machine.

Functions travel as the code of one Python, and what serves them in a worker is ours and speaks to what is ours here: so
both have to be the same, the patch level of Python apart. Dask itself warns of its own packages. Workers that come
later are not asked; what they lack becomes an error of the calls they get, see `missing`.
"""

# mypy: disallow-untyped-calls=false
# (much of Dask has no types)

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
import weakref
from concurrent.futures import ThreadPoolExecutor

import distributed
from distributed.comm.core import connect as knock
from distributed.security import Security
from distributed.versions import get_versions

from ...errors import ClusterError, ClusterLost, ClusterUnreachable, NotGuarded, VersionMismatch
from .. import PATIENCE_VARIABLE, patience

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    from . import DaskCluster

__all__ = [
    "LocalCluster",
    "client_of",
    "compare",
    "connect",
    "disconnect",
    "missing",
    "not_installed",
    "opened",
]

_ENDING_S = 5.0  # for ending a connection, and a cluster of ours
_PACKAGES = ["procession"]
_SHOWN = 3  # so many are named that have another version


def connect(address: str) -> Any:
    """A client of the scheduler there. Raises: ClusterUnreachable.

    That somebody is there is tried first, in another thread since a loop may be running in this one: a `Client` that
    cannot connect leaves a thread behind.
    """
    whole = address if "://" in address else f"tcp://{address}"
    try:
        with ThreadPoolExecutor(1) as outside:
            outside.submit(asyncio.run, _knock(whole)).result()
        return distributed.Client(whole, timeout=patience(), set_as_default=False)
    except OSError as error:
        raise ClusterUnreachable(
            f"no Dask scheduler answered at {address} within {patience():g} s: start one with `dask scheduler --port "
            f"{address.rpartition(':')[2]}` and its workers with `dask worker {address}`, or see whether a firewall is "
            f"in between; {PATIENCE_VARIABLE} says how many seconds to wait ({error})",
            cluster=f"dask://{address}",
        ) from error


async def _knock(address: str) -> None:
    comm = await knock(address, timeout=patience(), **Security().get_connection_args("client"))
    await comm.close()


opened: weakref.WeakSet[DaskCluster] = weakref.WeakSet()


def client_of(name: str) -> Any:
    """The client of the cluster of this name that is open here. Raises: ClusterLost if there is none."""
    for cluster in tuple(opened):
        if cluster.name == name and not cluster.is_closed:
            return cluster.client
    raise ClusterLost(f"there is no connection to {name} here: get_context({name!r}) first", cluster=name)


def disconnect(client: Any) -> None:
    """Close a client that `connect` made, in some seconds at most."""
    client.close(timeout=_ENDING_S)
    client._loop_runner.stop()  # one that has given its scheduler up is closed, and its thread is still there


class _Uninterrupted(distributed.WorkerPlugin):
    """Ctrl-C at a terminal goes to the workers too, but is meant for the program: they would die of it."""

    def setup(self, worker: Any) -> None:
        """In the worker's main thread."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _advice() -> str:
    """Why workers that are started by spawn may not get there."""
    again = "begin with a cluster that is there already, get_context('dask://host:port')"
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is not None and not os.path.exists(file):
        return (
            f"They are started by spawn, which reads the program again, and this one is no file ({file}): put it into "
            f"one, use python -c or python -i, or {again}"
        )
    return (
        "They are started by spawn, which runs the script again: what it does must stand below "
        f'`if __name__ == "__main__":`, or {again}'
    )


class LocalCluster:
    """A scheduler in a thread of this program and a worker process for each CPU. Dask starts dead workers again."""

    def __init__(self) -> None:
        """Raises: ClusterError when no worker comes to life; NotGuarded in one that would start a cluster itself."""
        from ..._cpu import cpu_count
        from ..._main_guard import leave_quietly, refuse_unguarded

        try:
            refuse_unguarded()
        except NotGuarded:
            leave_quietly("Dask Worker")
            raise
        self._scratch = tempfile.TemporaryDirectory(prefix="procession-dask-", ignore_cleanup_errors=True)
        try:
            self._cluster: Any = distributed.LocalCluster(
                n_workers=cpu_count(),
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",  # of its web server: None would be 8787, and a warning if it is taken
                scheduler_kwargs={"dashboard": False},
                local_directory=self._scratch.name,
                silence_logs=logging.ERROR,
                plugins=[_Uninterrupted()],
            )
        except RuntimeError as error:
            self._scratch.cleanup()
            raise ClusterError(f"no worker of 'dask' could be started. {_advice()}", cluster="dask") from error
        self.address: str = self._cluster.scheduler_address.removeprefix("tcp://")

    def close(self) -> None:
        """End it all, in some seconds at most."""
        self._cluster.close(timeout=_ENDING_S)
        self._scratch.cleanup()


# Versions


def compare(cluster: DaskCluster) -> None:
    """Raises: VersionMismatch naming who has what; ClusterLost."""
    scheduler: Any = cluster.client.scheduler
    found = {"the scheduler": cluster.ask(scheduler.versions, packages=_PACKAGES)}
    asked = {"op": "versions", "packages": _PACKAGES}
    found |= cluster.ask(scheduler.broadcast, msg=asked, on_error="return")  # an error for those that died meanwhile
    ours = _told(get_versions(packages=_PACKAGES))
    others: dict[tuple[str, str | None], list[str]] = {}
    for who, versions in found.items():
        if isinstance(versions, dict) and (theirs := _told(versions)) != ours:
            others.setdefault(theirs, []).append(who)
    for theirs, whose in others.items():
        who = ", ".join(whose[:_SHOWN]) + (f" and {len(whose) - _SHOWN} more" if len(whose) > _SHOWN else "")
        here, there = (f"Python {python}, procession {own}" for python, own in (ours, theirs))
        if theirs == (ours[0], None):
            message = not_installed(f"{who} of {cluster.name}")
        else:
            message = f"{who} of {cluster.name} has {there}, and this program {here}: they have to be the same"
        raise VersionMismatch(message, cluster=cluster.name, here=here, there=there)


def _told(versions: dict[str, Any]) -> tuple[str, str | None]:
    """Of Python the two numbers on which the code of functions depends, and procession's version."""
    packages = versions["packages"]
    return ".".join(packages["python"].split(".")[:2]), packages["procession"]


def not_installed(where: str) -> str:
    """What to do about it."""
    own = get_versions(packages=_PACKAGES)["packages"]["procession"]
    return (
        f"procession is not installed in {where}, where its half of the work is done: `pip install procession=={own}` "
        "there, as everything that tasks use (distributed.PipInstall does it on workers)"
    )


def missing(error: BaseException | None) -> str | None:
    """The name of our package if an error comes of its not being there."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "procession":
            return error.name
        error = error.__cause__ or error.__context__
    return None
