"""Queue and JoinableQueue whose items lie in the files of a directory.

What is put is in a log (`crates/disk`) when `put` returns. With `durability="crash"` that means the system's memory of
the file: it survives the end and the death of every process. With "power" `put` returns when the log was flushed, so
that it survives a power cut; those who put at the same time share a flush. Taking an item, or acknowledging it, is a
change to the log as well, and as safe.

The directory has a file `queue`, whose header (`header`) says what the queue is and where its users meet, and the
segments of the log. Bounds and durability are the queue's own: whoever opens it first chooses, and an opener who names
none takes them as they are. (A choice of each opener was considered: then what an opener of "power" has acknowledged
could depend on one of "crash".) Who waits, and who has which item, is memory of those who have it open, and forgotten
with the last of them: then every item not acknowledged is there again, in its old place.

Items are encoded as in memory, buffers included, so that one that mentions what lives in this program's memory (a
Lock, say) is an error: it would outlive what it mentions. Other objects on disk are mentioned by their path.

Calls are the native class's, the rest is `queues.Queue`'s. Instances pass for that, and for the standard library's.
"""

from __future__ import annotations

import os
import pickle
import shutil
import time
from contextlib import suppress
from functools import partial
from operator import index

from .. import _codec, _native, queues
from .._blame import find_unpicklable, shorten
from .._store import Shared
from .._thread_queues import bound, check_max_bytes
from ..errors import HomeDamaged, HomeMismatch, HomeTooNew, NotAHome, NotDurable, TimeoutError
from . import header
from .header import Header
from .homes import Home, place, sync_directory
from .meeting import Moved

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ClassVar

__all__ = ["DiskJoinableQueue", "DiskQueue", "not_durable", "open_queue"]

MESSAGES = 1  # the version of what the codec writes, see `codec/tags.rs`
_FILE = "queue"  # in the directory
_DURABILITIES = ("crash", "power")
_DEFAULTS = {"maxsize": 0, "max_bytes": 0, "max_deliveries": 0, "durability": "crash", "messages": MESSAGES}

_Memory: Any = queues.Queue  # whose methods need nothing but the native ones


class _QueueHome(Home):
    """The file `queue` of a directory. Where others have the type of their items, it has the queue's settings.

    Attributes: `settings`; `directory`, a descriptor; `file`, the file's while the queue is opened. Segments are found
    by the directory and not by the path: who still has a queue open that was removed must not get into one that was
    made in its place.
    """

    __slots__ = ("directory", "file", "settings", "wishes")

    def __init__(
        self, path: str, kind: str, wishes: dict[str, Any], make: Callable[[Any, _native.Arena], Any], create: bool
    ) -> None:
        self.directory, self.file, self.wishes = -1, -1, wishes
        asked = Header(kind, _told(_DEFAULTS | wishes))
        try:
            super().__init__(os.path.join(path, _FILE), asked, partial(make, self), create=create)
        except BaseException:
            self._leave_directory()
            raise

    def __del__(self) -> None:
        self._leave_directory()

    def _leave_directory(self) -> None:
        directory, self.directory = self.directory, -1
        if directory >= 0:
            os.close(directory)

    def _prepare(self, file: int, asked: Header, fill: Any, is_mine: bool) -> None:
        folder = os.path.dirname(self.path)
        self._leave_directory()
        self.directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            is_there = os.path.samestat(os.stat(_FILE, dir_fd=self.directory), os.fstat(file))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise Moved(self.path)
        found = header.read(file, self.path)
        if found is not None and found.kind == asked.kind:
            _check(_read(found), self.wishes, folder)
            asked = found
        super()._prepare(file, asked, fill, is_mine)
        self.file = file
        self.settings = _read(self.header)
        if self.is_new:  # so that there is a queue, or none, after a power cut
            os.fsync(file)
            os.fsync(self.directory)
            sync_directory(os.path.dirname(folder))


def _told(settings: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in settings.items())


def _read(found: Header) -> dict[str, Any]:
    """The settings in a header."""
    pairs = (setting.partition("=") for setting in found.type.split())
    return {name: value if name == "durability" else int(value) for name, _, value in pairs}


def _check(found: dict[str, Any], wishes: dict[str, Any], path: str) -> None:
    """Raise HomeMismatch where a wish is not what the queue was made with."""
    if found["messages"] > MESSAGES:
        raise HomeTooNew(
            f"the items of {path} are encoded in a way that this version of procession does not know: use a later one",
            path=path,
            version=found["messages"],
        )
    differing = [name for name, value in wishes.items() if found[name] != value]
    if differing:
        was, wanted = (_told({name: source[name] for name in differing}) for source in (found, wishes))
        raise HomeMismatch(
            f"the queue at {path} was made with {was}, and {wanted} was asked for: ask for the same, or for nothing, "
            "which takes it as it is",
            path=path,
            found=was,
            asked=wanted,
        )


class DiskQueue(_native.DiskQueue, Shared):
    """A queue in the files of a directory, for any number of producers and consumers in any programs of a user.

    `put` and `get` block as `queue.Queue`'s do, and take a timeout in seconds. A process killed inside `put` has put
    the item or not; one killed inside `get` has taken nothing or has it, and of a JoinableQueue it comes back.
    """

    __slots__ = ("__dict__", "__weakref__")
    _kind: ClassVar[str] = "queue"
    _passes_for: ClassVar[type[Any]] = queues.Queue
    _home: _QueueHome

    def __new__(
        cls,
        path: str,
        wishes: dict[str, Any],
        *,
        label: str | None = None,
        create: bool = True,
        salvage: bool = False,
    ) -> Any:
        """The queue at an absolute path, made if it is not there. Blocks while another process opens it.

        Raises: HomeError and its subclasses, see docs/guides/disk.md; OSError.
        """
        made = []

        def make(home: _QueueHome, arena: _native.Arena) -> Any:
            settings = home.settings
            options = {
                "joinable": cls._kind == "joinablequeue",
                "power": settings["durability"] == "power",
                "max_items": settings["maxsize"],
                "max_bytes": settings["max_bytes"],
                "max_deliveries": settings["max_deliveries"],
                "salvage": salvage,
                "intact": header.is_of_this_boot(home.file),
            }
            made.append(_native.DiskQueue.__new__(cls, arena, _inside(home), path, **options))
            header.set_boot(home.file)
            made[0].name = label or path
            return made[0]

        home = _opened(path, cls._kind, wishes, make, create)
        self = made[0] if made else _native.DiskQueue.__new__(
            cls, home.meeting.arena, _inside(home), path, address=home.meeting.address
        )  # fmt: skip
        self._home = home
        return self

    def __init__(self, *arguments: object, **options: object) -> None:
        """Nothing is left to do."""

    @property  # type: ignore[misc]  # `object` would let it be set
    def __class__(self) -> type[Any]:
        return queues._standing_for(self._passes_for)

    def __repr__(self) -> str:
        limit = self.max_items or "unbounded"
        state = ", closed" if self.closed else ", shut down" if self.is_shutdown else ""
        items = "" if self.closed else f" {self.qsize()} items,"
        return f"<{self._passes_for.__name__}({self.path!r},{items} {limit}, {self.durability}{state})>"

    @property
    def durability(self) -> str:
        """What its items survive: "crash", the death of every process, or "power", a power cut as well."""
        return self._home.settings["durability"]  # type: ignore[no-any-return]

    put_nowait = _Memory.put_nowait
    get_nowait = _Memory.get_nowait
    statistics = _Memory.statistics
    get_async = _Memory.get_async
    put_async = _Memory.put_async
    join_thread = _Memory.join_thread
    cancel_join_thread = _Memory.cancel_join_thread

    def watch(self) -> int:
        """There is no descriptor to watch; who waits in an event loop looks again and again."""
        return -1

    watch_room = watch

    def close(self) -> None:
        """This handle is used no more: every other call raises Closed. Others are not affected. Idempotent."""
        if super().close():
            self._home.close()
        # Otherwise another thread is at work on it, and the files are left when the handle is dropped.

    def unlink(self) -> None:
        """Remove the queue with all that is in it; the next who opens the path makes a new one.

        Who has it open should be done with it: a `put` raises FileNotFoundError sooner or later.
        """
        removed = f"{self.path}.removed-{os.getpid()}-{time.monotonic_ns()}"
        try:
            if not os.path.samestat(os.stat(self.path), os.fstat(self._home.directory)):
                return  # it was removed before, and this is another
            os.rename(self.path, removed)
        except FileNotFoundError:
            return
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(removed, _FILE))  # first: who is about to come in looks whether it is there
        shutil.rmtree(removed, ignore_errors=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (type(self), self.path)


class DiskJoinableQueue(DiskQueue):
    """A DiskQueue whose consumers tell when an item is done with; see `queues.JoinableQueue`."""

    __slots__ = ()
    _kind = "joinablequeue"
    _passes_for = queues.JoinableQueue

    def task_done(self) -> None:
        """One item taken before is done with: the oldest that this process has taken and not acknowledged.

        When this returns, it never comes back. A process that has none acknowledges the oldest of anybody's. Raises:
        ValueError when called more often than items were put.
        """
        if not super().task_done():
            raise ValueError("task_done() called too many times")

    def join(self, timeout: float | None = None) -> None:
        """Wait until every item put was done with. Raises: TimeoutError after `timeout` seconds."""
        if not super().join(timeout):
            raise TimeoutError(f"{self.unfinished()} items were not done with after {timeout} s")


def _reopen(cls: type[Any], path: str) -> Any:
    """The queue at a path, where a pickle is read. Raises: FileNotFoundError when it was removed."""
    return cls(path, {}, create=False)


def _inside(home: _QueueHome) -> str:
    """The directory by its descriptor, so that it is this one even when it was moved or removed."""
    return f"/proc/self/fd/{home.directory}"


def _opened(path: str, kind: str, wishes: dict[str, Any], make: Any, create: bool) -> _QueueHome:
    while True:
        if create:
            _make_directory(path)
        try:
            return _QueueHome(path, kind, wishes, make, create)
        except FileNotFoundError:
            if not create or os.path.isdir(path):
                raise
            # It was removed by another at this moment.


def _make_directory(path: str) -> None:
    """See to it that there is a directory that is a queue's, or can be. Raises: NotAHome, and leaves it as it is."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        names = os.listdir(path)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotAHome(f"{path} is no directory, which a queue's home is: give another path", path=path) from error
    if _FILE not in names and any(other.endswith(".log") and other[:-4].isdigit() for other in names):
        raise HomeDamaged(
            f"{path} is damaged: its file {_FILE!r} is missing, which says what the items are; restore it from a copy, "
            "or remove the directory to begin anew",
            path=path,
        )
    if names and _FILE not in names:
        raise NotAHome(
            f"{path} is a directory with other things in it ({shorten(min(names))}): give the queue one of its own",
            path=path,
        )


def open_queue(
    joinable: bool,
    path: Any,
    name: str | None,
    durability: str | None,
    salvage: bool = False,
    maxsize: int = 0,
    max_bytes: int = 0,
    max_deliveries: int = 0,
) -> Any:
    """The Queue or JoinableQueue at a path, or with a name; made if it is not there.

    `salvage`: if nobody has it open, drop what is damaged in its files, instead of raising HomeDamaged.

    Raises: TypeError or ValueError for what is no bound, durability or place; HomeMismatch when it was made with other
    settings than are named; as `DiskQueue`.
    """
    cls = DiskJoinableQueue if joinable else DiskQueue
    if durability is not None and durability not in _DURABILITIES:
        raise ValueError(f"durability is 'crash' or 'power', not {durability!r}")
    if path is None and name is None:
        raise TypeError("durability= and salvage= are for a queue on disk: give it a home (path= or name=)")
    check_max_bytes(max_bytes)
    wishes = {
        "maxsize": bound(maxsize),
        "max_bytes": index(max_bytes),
        "max_deliveries": bound(max_deliveries, "max_deliveries"),
        "durability": durability,
    }
    wishes = {wish: value if wish == "durability" else int(value) for wish, value in wishes.items() if value}
    return cls(place(cls._kind, path, name), wishes, label=name, salvage=salvage)


# What may not be put


class _Finder(pickle.Pickler):
    """Fails at one object."""

    def __init__(self, wanted: object) -> None:
        super().__init__(_codec.nowhere(), 5)
        self.dispatch_table = _codec.reducers()
        self._wanted = wanted

    def persistent_id(self, obj: object) -> None:
        if obj is self._wanted:
            raise LookupError


def not_durable(obj: object, carried: object, path: str) -> NotDurable:
    """The error for an object to put in which `carried` occurs, which lives in memory."""
    where, part, _ = find_unpicklable(obj, lambda part: _Finder(carried).dump(part))
    return NotDurable(
        f"cannot put {shorten(part)}{f' at {where}' if where else ''} on the queue at {path}: it lives in the memory "
        "of this program, and the queue outlives it; give it a home on disk (path=), or put what it can be found by",
        path=where,
    )
