"""Pool: many workers, one ring of tasks, one of answers.

The names and meanings are `multiprocessing.pool.Pool`'s. What is different:

* Tasks go straight into shared memory, in the calling thread: what cannot be pickled raises there, and nothing is sent.
* Whoever waits for a result reads answers itself; a pool has no threads of its own unless there are callbacks.
* A worker that dies (killed, crashed, out of memory, `sys.exit`) fails the one task it held, with `WorkerDied` naming
  it, and is replaced; the standard pool waits for ever. An initializer that raises breaks the pool at once
  (`PoolBroken`).
* A function is sent once to each worker; lambdas and closures need cloudpickle.
* Without a chunksize, chunks follow the measured time of a task.
* The inputs of `imap` and `imap_unordered` are read only a little ahead, so they may be endless.

Subclasses that bring queues of their own (joblib's, PyTorch's) get a standard pool on our locks and processes, with
none of the above; see `transport`.

`state` holds the rules, `supervisor` carries them out, `worker` is the loop on the other side.
"""

from __future__ import annotations

from . import standard
from .iterators import IMapIterator, IMapUnorderedIterator
from .pools import CLOSE, INIT, RUN, TERMINATE, Pool
from .records import PoolStatistics
from .results import AsyncResult, MapResult
from .threadpool import ThreadPool

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from typing import Any

ApplyResult = AsyncResult  # as in the standard library, where this is the older name

__all__ = [
    "CLOSE",
    "INIT",
    "RUN",
    "TERMINATE",
    "ApplyResult",
    "AsyncResult",
    "IMapIterator",
    "IMapUnorderedIterator",
    "MapResult",
    "Pool",
    "PoolStatistics",
    "ThreadPool",
    "patched",
]

for _public in (Pool, ThreadPool, AsyncResult, MapResult, IMapIterator, IMapUnorderedIterator, PoolStatistics):
    _public.__module__ = __name__  # what messages and reprs say


def __getattr__(name: str) -> Any:
    if name == "RemoteTraceback":
        from ..errors import RemoteTraceback

        value: Any = RemoteTraceback
    elif name in standard.NAMES:
        from multiprocessing import pool as theirs

        value = getattr(theirs, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def patched() -> dict[str, Any]:
    """What takes the place of the names in `multiprocessing.pool` when procession is installed there."""
    from ..errors import RemoteTraceback

    return {
        "ApplyResult": ApplyResult,
        "AsyncResult": AsyncResult,
        "IMapIterator": IMapIterator,
        "IMapUnorderedIterator": IMapUnorderedIterator,
        "MapResult": MapResult,
        "Pool": Pool,
        "RemoteTraceback": RemoteTraceback,
        "ThreadPool": ThreadPool,
    }
