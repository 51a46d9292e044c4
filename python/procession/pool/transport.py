"""Pools whose subclass brings its own queues: the standard library's pool, on our locks, pipes and processes.

joblib's and PyTorch's pools override `_setup_queues` and `_repopulate_pool` to send arrays in ways of their own. Such a
class works because it runs what it was written for: the standard code. As the names in `multiprocessing.pool` may be
ours by now (see `installing`), and that code looks up its own classes there, it runs in a namespace of its own; the
functions and exceptions, which travel by name, are the standard module's.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec

from .. import _native
from ..errors import Empty
from .standard import NAMES

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["rebase"]


def _standard_pool() -> Any:
    """The class `Pool`, made anew from the standard library's module."""
    from multiprocessing import pool as theirs

    spec: Any = find_spec("multiprocessing.pool")
    namespace: dict[str, Any] = {"__name__": __name__, "__package__": "multiprocessing"}
    exec(spec.loader.get_code("multiprocessing.pool"), namespace)
    namespace.update((name, getattr(theirs, name)) for name in (*NAMES, "RemoteTraceback") if hasattr(theirs, name))
    return namespace["Pool"]


_made: dict[type, Any] = {}  # by class of pool, what stands for it


def _standing_for(pool: Any, inherited: type, default_context: Callable[[], Any]) -> Any:
    """A class that is both the standard pool and ours, whose methods are the standard ones."""
    standard = _standard_pool()

    def __init__(
        self: Any,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        context = context or default_context()
        standard.__init__(self, processes, initializer, initargs, maxtasksperchild, context)

    def _help_stuff_finish(inqueue: Any, task_handler: Any, size: int) -> None:
        """Make room for the thread that may be blocked in a put. Workers need no lock to take from a queue of ours, so
        what the standard code has seen there may be gone when it comes to take it: it would wait for ever."""
        if not isinstance(inqueue, _native.Ring):
            standard._help_stuff_finish(inqueue, task_handler, size)
            return
        with suppress(Empty):
            while task_handler.is_alive():
                inqueue.get(False)

    # What the standard code keeps in attributes must not meet our properties of the same names
    hidden = {name: None for name, value in vars(inherited).items() if isinstance(value, property)}
    helper = staticmethod(_help_stuff_finish)
    own = {"__init__": __init__, "_standard": standard, "_help_stuff_finish": helper}
    return type("StandardPool", (standard, pool), {**hidden, **own})


def rebase(cls: type, inherited: type, default_context: Callable[[], Any]) -> None:
    """Put the standard pool in front of ours, the class that derives from `inherited`, among the bases of a class."""
    pool = next(base for base in cls.__mro__ if inherited in base.__bases__)
    if pool not in _made:
        _made[pool] = _standing_for(pool, inherited, default_context)
    if pool in cls.__bases__:
        cls.__bases__ = tuple(_made[pool] if base is pool else base for base in cls.__bases__)
    else:  # behind the class that derives from it, which stays what it is
        last = max(place for place, base in enumerate(cls.__bases__) if issubclass(base, pool))
        cls.__bases__ = (*cls.__bases__[: last + 1], _made[pool], *cls.__bases__[last + 1 :])
