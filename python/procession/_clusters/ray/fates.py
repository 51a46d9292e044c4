"""What Ray's errors mean: a worker was lost, all is lost, or the task itself raised."""

from __future__ import annotations

import re

from ray import exceptions

from ...errors import ClusterLost, MemoryLimitExceeded, RemoteTraceback, WorkerDied

__all__ = ["fate_of", "own_error", "versions_differ"]

_WORKER_LOST = (
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,  # and Ray could not make it again
)
_ALL_LOST = (
    exceptions.LocalRayletDiedError,
    exceptions.RayActorError,  # the keeper's; calls are no actors
    exceptions.RpcError,
    ConnectionError,  # of Ray's client
)
_COLOURS = re.compile(r"\x1b\[\d*m")
_VERSIONS = re.compile(r"Ray: (\S+)\s+(?:\(.*?\)\s*)?Python: (\S+)")


def own_error(error: BaseException) -> BaseException:
    """What the task raised, with the traceback from there; another of Ray's errors as it is."""
    if not isinstance(error, exceptions.RayTaskError):
        return error
    cause: BaseException = error.cause
    if not isinstance(cause, exceptions.RayError):
        cause.__cause__ = RemoteTraceback(_COLOURS.sub("", str(error)))
    return cause


def fate_of(error: BaseException, name: str) -> BaseException | None:
    """See `Cluster.fate`."""
    error = own_error(error)
    ours: BaseException | None = None
    if isinstance(error, exceptions.OutOfMemoryError):
        ours = MemoryLimitExceeded(f"a worker of {name} was ended for the memory of its node: {_first_line(error)}")
    elif isinstance(error, _WORKER_LOST):
        ours = WorkerDied(f"a worker of {name} died, as often as Ray tried: {_first_line(error)}")
    elif isinstance(error, _ALL_LOST) and not isinstance(error, ClusterLost):
        ours = ClusterLost(f"{name} is lost: {_first_line(error)}", cluster=name)
    if ours is not None:
        ours.__cause__ = error
    return ours


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


def versions_differ(text: str) -> tuple[str, str] | None:
    """What is here and what is there, when that is what Ray complains of."""
    found = [f"Ray {version} on Python {python}" for version, python in _VERSIONS.findall(text)]
    return (found[1], found[0]) if len(found) == 2 else None
