"""Where state lives: arenas, and how a shared object travels.

A shared object *is* its address, an offset in an arena and a serial number. Pickling one writes a few bytes and works
at any time, not only while a child is being spawned. What the receiver needs besides is the arena itself:

- a forked child has it mapped already, at the same place;
- a spawned child gets its descriptor together with the first object that mentions it (`reduce_arena` notices that a
  process is being started, as the standard library's own reducers do);
- any other relative finds the descriptor through the sender's `/proc` entry. The token, random and kept in the arena
  itself, tells it from every other file, so a reused pid or descriptor number is noticed.

A program has one shared arena, made when first needed, or when it starts its first process; its children and their
children use the same one. So each process of a program can be seen in it from outside (`_registry`).
"""

from __future__ import annotations

import os
from contextlib import suppress
from multiprocessing import context as _mp_context
from multiprocessing import process as _mp_process
from multiprocessing import reduction as _mp_reduction
from multiprocessing import util as _mp_util

from . import _chaos, _native, _standard, _variables, _waits
from .errors import NotShared, ObjectGone

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

_shared: _native.Arena | None = None
_private: _native.Arena | None = None
met: list[_native.Arena] = []  # those in which this process meets unrelated ones (`_disk`)


def shared_arena() -> _native.Arena:
    """The arena that this process shares with its relatives; made when first asked for.

    Its size is bounded by `PROCESSION_ARENA_LIMIT` (bytes; by default three quarters of memory).
    """
    global _shared
    if _shared is None and isinstance(_standard.family, _native.Arena):
        return _adopt(_standard.family)
    if _shared is None:
        _shared = _native.Arena.create(arena_limit())
        introduce()
        _begin_chaos(_shared)
        _begin_detecting(_shared, is_new=True)
    return _shared


def arena_of(ctx: Any = None, arena: _native.Arena | None = None) -> _native.Arena:
    """Where a primitive made with `ctx=` or `arena=` lives: the context's arena if it is ours, else the shared one."""
    return arena or getattr(ctx, "_arena", shared_arena)()


def private_arena() -> _native.Arena:
    """The arena in this process's own memory, for its threads; made when first asked for.

    With a shared one beside it, by whose descriptor this program is found when somebody looks (`_registry`).
    """
    global _private
    if _private is None:
        with suppress(OSError):  # no descriptor left: it is not seen, and that is all
            shared_arena()
        _private = _native.Arena.private()
        introduce()
        _begin_detecting(_private, is_new=True)
    return _private


def arena_limit() -> int:
    """Bytes for the arena; 0 for what the core thinks right. Raises: ValueError for a variable without a size."""
    return _variables.parsed("PROCESSION_ARENA_LIMIT", _size_or_zero, "a size such as 2G or 512M") or 0


def _size_or_zero(text: str) -> int:
    from ._sizes import parse_size

    return 0 if text == "0" else parse_size(text)


def _begin_chaos(arena: _native.Arena) -> None:
    found = _chaos.orders(os.environ)
    if found is None:
        return
    orders, first = found
    if first is None:
        first = arena.statistics()["entered"]
        os.environ[_chaos.VARIABLE] = _chaos.claimed(os.environ[_chaos.VARIABLE], first)
        _native.unleash(*orders, first)
    else:
        _native.unleash(*orders, first)
        arena.enter_chaos()


def _begin_detecting(arena: _native.Arena, *, is_new: bool) -> None:
    """Of an arena that this process has just come to: look for deadlocks if that is wanted in it."""
    if _native.detecting(arena) or (is_new and _waits.is_wanted()):
        detect(arena, True)


def detect(arena: _native.Arena, on: bool) -> None:
    """Look for deadlocks among those who share an arena, or do not."""
    _native.detect(arena, on)
    if on:
        from . import _descent

        _waits.descent = _descent.watch(_waits.join_thread)


def reduce_arena(arena: _native.Arena) -> tuple[Any, ...]:
    """How an arena is pickled: its token and a way to its descriptor."""
    if not arena.shared:
        raise NotShared(
            "this object lives in one process's own memory (the 'thread' context) and cannot be sent to another; "
            "make it with get_context('fork'), 'spawn' or 'forkserver'"
        )
    popen: Any = _mp_context.get_spawning_popen()
    if popen is not None and getattr(popen, "family", None) == arena.token:
        return _attach_family, (arena.token,)
    if popen is not None:
        return _attach_inherited, (_mp_reduction.DupFd(arena.fd), arena.token)
    return _attach_relative, (os.getpid(), arena.fd, arena.token)


def _attach_family(token: bytes) -> _native.Arena:
    """In a child that was given the arena before anything else (`_bootstrap.Family`)."""
    known = _native.Arena.find(token)
    if known is None:
        raise _standard.family
    return _adopt(known)


def _attach_inherited(duplicate: Any, token: bytes) -> _native.Arena:
    descriptor = duplicate.detach()
    try:
        return _adopt(_native.Arena.attach(descriptor, token))
    finally:
        os.close(descriptor)


def _attach_relative(pid: int, fd: int, token: bytes) -> _native.Arena:
    known = _native.Arena.find(token)
    if known is not None:
        return known
    try:
        descriptor = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise ObjectGone(
            f"cannot reach the shared memory of process {pid} ({error.strerror}): "
            "it has ended, or belongs to another user"
        ) from error
    try:
        return _adopt(_native.Arena.attach(descriptor, token))
    finally:
        os.close(descriptor)


def _adopt(arena: _native.Arena) -> _native.Arena:
    """Use a relative's arena as one's own, unless there is one already."""
    global _shared
    if _shared is None:
        _shared = arena
        introduce()
        _begin_chaos(arena)
        _begin_detecting(arena, is_new=False)
    return arena


def introduce(_: object = None) -> None:
    """Tell those who share the arena what this process is called, for when it dies with something of theirs."""
    name = str(_mp_process.current_process().name).encode(errors="replace").decode()
    for arena in (_shared, _private):
        if arena is not None:
            arena.introduce(name)


_mp_util.register_after_fork(introduce, introduce)  # in a child of ours, once it has its name


def on_disk(module: str) -> Any:
    """A module of `_disk`: loaded when somebody names a path, for it builds upon those who ask here."""
    return __import__(f"procession._disk.{module}", fromlist=["_disk"])


def reopen(cls: type[Any], arena: _native.Arena, address: tuple[int, int]) -> Any:
    """The object at an address, as an instance of its class. Raises ObjectGone when every holder had dropped it."""
    return cls._open(arena, address)


# What `_native.serve_as` calls what an object serves as, where its kind does not say; `Role` in the core.
QUEUE, JOINABLE_QUEUE, SIMPLE_QUEUE, PIPE_BACK, PIPE_FORTH, PIPE_FLAGS, BOUNDED_SEMAPHORE, INSIDE, POOL = range(1, 10)


class Shared:
    """What shared objects have in common: they are pickled by address, whenever and wherever."""

    __slots__ = ()

    if TYPE_CHECKING:  # every native class has these two

        @property
        def arena(self) -> _native.Arena: ...
        @property
        def address(self) -> tuple[int, int]: ...

    @property
    def name(self) -> str | None:
        """The name it was given, for people, whoever gave it; None when it has none."""
        return _native.name_of(self)

    @name.setter
    def name(self, name: str | None) -> None:
        _native.set_name(self, name)

    @classmethod
    def _open(cls, arena: _native.Arena, address: tuple[int, int]) -> Any:
        return cls.__new__(cls, arena=arena, address=address)  # type: ignore[call-arg]

    def __reduce__(self) -> tuple[Any, ...]:
        keep_in_flight(self)
        return reopen, (type(self), self.arena, self.address)


class MadeByNew(Shared):
    """For subclasses that know multiprocessing's classes and call their `__init__`: nothing is left for it to do."""

    __slots__ = ("__dict__", "__weakref__")

    def __init__(self, *arguments: object, **where: object) -> None: ...


def keep_in_flight(shared: Any) -> None:
    """Keep a shared object alive until whoever receives the pickle now being made has opened it.

    In a message of ours the message holds it. For a child being started, the handle on that child does, which lives
    until the child has ended. In any other pickle nobody can: the sender has to keep a reference.
    """
    popen = _mp_context.get_spawning_popen()
    if popen is not None:
        vars(popen).setdefault("_procession_kept", []).append(shared)
    else:
        _native.carry(shared)
