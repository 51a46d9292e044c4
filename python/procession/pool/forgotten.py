"""A pool that nobody closed: what its user is told, and what becomes of the work that it was given.

The results of a standard pool keep it alive, so `sum(Pool().imap(f, items))` works, and a result that was returned
from a function whose pool is gone still comes. Results here do not refer to their pool, or one with work under way
would be a cycle that no garbage collector sees through. Instead a dying pool looks whether somebody may be waiting
for it, and if so puts its death off: a thread refers to it until the work is done. (Not where the garbage collector
finds it in a cycle: then its workers have been ended before anybody is asked.)

The warning is given when the pool object goes. That is after its finalizer ended the workers where the garbage
collector or the interpreter's end take it away, so its state does not tell if it was closed: `ended` does.
"""

from __future__ import annotations

import threading
import time
import warnings
from contextlib import suppress

from ..errors import PoolBroken, PoolTerminated

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from .pools import Pool
    from .supervisor import Supervisor

__all__ = ["forget"]

LOOK_S = 0.1  # how often is looked whether it is still wanted


def forget(pool: Pool) -> None:
    """From `Pool.__del__`, for one that was neither closed nor terminated."""
    core = pool._core
    if isinstance(core.error, PoolBroken):
        return  # it ended of itself, and said so
    if core.error is None and _is_wanted(core):
        with suppress(RuntimeError):  # the interpreter is ending, or there is no thread left
            threading.Thread(target=_outlive, args=(pool,), name="procession-pool-forgotten", daemon=True).start()
    name = f"{type(pool).__module__}.{type(pool).__qualname__}"
    warnings.warn(
        f"unclosed running multiprocessing pool <{name} state=RUN pool_size={pool._processes}>: use it in a `with`, "
        "or call close() and join()",
        ResourceWarning,
        source=pool,
        stacklevel=3,
    )


def _is_wanted(core: Supervisor) -> bool:
    """Whether something is on its way, or somebody holds an iterator that will ask for more."""
    return bool(core.dispatcher.outstanding or core.feeding)


def _outlive(pool: Pool) -> None:
    """Refer to the pool for as long as it is wanted. With this frame its last reference goes, and it ends."""
    core = pool._core
    with suppress(PoolBroken, PoolTerminated):  # who asks for a result is told
        while core.error is None and _is_wanted(core):
            core.wait(lambda: not core.dispatcher.outstanding, LOOK_S)
            if not core.dispatcher.outstanding:
                time.sleep(LOOK_S)  # for an iterator
