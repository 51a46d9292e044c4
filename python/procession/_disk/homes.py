"""A file that is an object's home: found or made, checked, and entered.

Making one can be killed at any moment. What then stands there is nothing, an empty file, or one whose header says that
it is unfinished; the next who opens it makes it. What fails (a full disk, an item of the wrong type) removes it again.
All of this happens with the gate locked (`meeting`), so nobody sees it half made.
"""

from __future__ import annotations

import os
import stat as _stat
from contextlib import suppress
from functools import partial

from .. import _native
from ..errors import Closed, HomeError, NotAHome
from . import header
from .header import PAGE, Header
from .meeting import Meeting, Moved

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Home", "OnDisk", "folder", "place", "sync_directory"]

MODE = 0o600  # whoever has it open must reach the others' memory, which only the same user can


def folder() -> str:
    """Where the objects with names are: `$PROCESSION_HOME`, `$XDG_DATA_HOME/procession`, or in ~/.local/share."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.abspath(os.environ.get("PROCESSION_HOME") or os.path.join(data, "procession"))


def place(kind: str, path: Any, name: str | None) -> str:
    """The whole path of an object that was given a path, or a name; a name's folder is made if need be.

    Links are followed once and for all: the object is where they lead, and removing it does not remove the link.
    Raises: TypeError unless exactly one of both was given; ValueError for a path or a name that is no file's.
    """
    if (path is None) == (name is None):
        raise TypeError("an object on disk has a path or a name, not both")
    if name is None:
        return _checked(path)
    if not isinstance(name, str):
        raise TypeError(f"a name is a str, not {name!r}")
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"a name must be one that a file can have, and {name!r} is not; for a place give path=")
    directory = os.path.join(folder(), kind)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    return os.path.join(os.path.realpath(directory), name)


def _checked(path: Any) -> str:
    text = os.fsdecode(path)
    if not text:
        raise ValueError("the path of an object on disk is empty: name the file, or a queue's directory")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the path of an object on disk is shown to people, and {path!r} is not UTF-8") from None
    return os.path.realpath(text)


class Home:
    """A file that this process has open as an object's home.

    Attributes: `path`; `header`, what lives there; `meeting`, of those who have it open; `memory`, its data, mapped,
    for whoever takes it from here; `is_new`, whether this process made it and has not flushed it.
    """

    __slots__ = ("_memory_type", "header", "is_new", "meeting", "memory", "path")

    header: Header
    meeting: Meeting

    def __init__(
        self,
        path: str,
        asked: Header,
        make: Callable[[_native.Arena], Any],
        *,
        fill: Callable[[_native.Mapping], object] | None = None,
        create: bool = True,
        apart: bool = False,
        memory: type[_native.Mapping] = _native.Mapping,
    ) -> None:
        """Open what lives at `path`, or make it: `fill` gives its data their first values, otherwise they are zero.

        `make` and `apart` as for `Meeting.join`. Raises: HomeError and its subclasses, see docs/guides/disk.md;
        OSError, when the file cannot be opened or made, which then leaves nothing; what `fill` raises.
        """
        self.path, self.is_new = path, False
        self.memory: _native.Mapping | None = None
        self._memory_type = memory
        while True:
            file, is_mine = _opened(path, create)
            prepare = partial(self._prepare, file, asked, fill, is_mine)
            try:
                self.meeting = Meeting.join(file, make, path=path, prepare=prepare, apart=apart)
                return
            except Moved:
                continue
            finally:
                os.close(file)

    def _prepare(
        self, file: int, asked: Header, fill: Callable[[_native.Mapping], object] | None, is_mine: bool
    ) -> None:
        found = header.read(file, self.path)
        if found is None:
            if asked.length < 0:
                raise HomeError(f"{self.path} is empty, and no length was given to make {asked.describe()}")
            _make(file, asked, fill, self.path if is_mine else None)
            self.is_new = True
        else:
            header.check(found, asked, self.path)
        self.header = found or asked
        if self.header.item_size:
            self.memory = self._memory_type(file, PAGE, self.header.size)

    def flush(self) -> None:
        """Return when the data, as anybody wrote them, are on the disk: they survive a power cut. Raises: OSError."""
        if self.meeting.is_closed:
            raise Closed(f"{self.path} was closed by this process")
        os.fdatasync(self.meeting.file)  # which on Linux is what msync does: mapped or not, there is one copy of a page
        if self.is_new:
            self.is_new = False
            sync_directory(os.path.dirname(self.path))  # so that the file itself is found again

    def unlink(self) -> None:
        """Remove the file. Who has it open goes on with it; the next who opens the path makes a new one."""
        with suppress(FileNotFoundError):
            if self.meeting.is_closed or os.path.samestat(os.stat(self.path), os.fstat(self.meeting.file)):
                os.unlink(self.path)  # otherwise it was removed before, and this is another

    def close(self) -> None:
        """Leave; see `Meeting.close`."""
        self.meeting.close()


def sync_directory(path: str) -> None:
    """Return when the names in a directory are on the disk. Raises: OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _opened(path: str, create: bool) -> tuple[int, bool]:
    """A descriptor, and whether there was no such file."""
    while True:
        try:
            file, is_mine = os.open(path, os.O_RDWR | os.O_CLOEXEC), False
        except FileNotFoundError:
            if not create:
                raise
            try:
                file, is_mine = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, MODE), True
            except FileExistsError:
                continue  # another was faster
        if not _stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise NotAHome(f"{path} is not a file", path=path)
        return file, is_mine


def _make(file: int, new: Header, fill: Callable[[_native.Mapping], object] | None, remove: str | None) -> None:
    """Lay out a file, and say last that it is whole. When that fails it is empty again, and `remove` removed."""
    try:
        os.ftruncate(file, 0)
        header.write(file, new, is_finished=False)
        os.posix_fallocate(file, 0, PAGE + new.size)  # a disk that is full shall say so now, and not by SIGBUS later
        if fill is not None:
            fill(_native.Mapping(file, PAGE, new.size))
        header.write(file, new, is_finished=True)
    except BaseException as error:
        os.ftruncate(file, 0)
        if remove is not None:
            with suppress(FileNotFoundError):
                os.unlink(remove)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None and remove is not None:
            raise OSError(error.errno, f"{error.strerror} (for {PAGE + new.size} bytes)", remove) from None
        raise


class OnDisk:
    """What objects on disk have in common: they have a path, and are pickled by it, at any time and to anybody."""

    __slots__ = ()

    _home: Home

    @property
    def path(self) -> str:
        """The file that it lives in."""
        return self._home.path

    def close(self) -> None:
        """Have it open no longer; every other use of it raises Closed from now on. Idempotent.

        When nobody has it open any more, who waits and who holds is forgotten; its data are in the file.
        """
        self._home.close()
        self.__class__ = _closed(self)

    def unlink(self) -> None:
        """Remove its file. Who has it open goes on with it; the next who opens the path makes a new one."""
        self._home.unlink()


_KEPT = {"close", "name", "path", "unlink"}
_OPERATORS = {"__enter__", "__exit__", "__getitem__", "__setitem__", "__len__", "__iter__", "__reduce__"}
_closed_classes: dict[type[Any], type[Any]] = {}


def _refuse(self: Any, *_: object, **__: object) -> Any:
    raise Closed(f"{self._home.path} was closed by this process")


def _closed(open_: Any) -> type[Any]:
    """The class of closed objects like this one. So the methods of open ones need not ask."""
    cls = type(open_)
    if cls in _closed_classes.values():
        return cls
    if cls not in _closed_classes:
        public = {name for name in dir(open_) if not name.startswith("_")} - _KEPT
        body: dict[str, Any] = {}
        for name in public | (_OPERATORS & set(dir(cls))):
            is_method = callable(getattr(cls, name, None)) and name not in vars(open_)
            body[name] = _refuse if is_method else property(_refuse, _refuse)
        body.update(__slots__=(), __repr__=lambda self: f"<{cls.__name__} {self._home.path!r}, closed>")
        _closed_classes[cls] = type(cls.__name__, (cls,), body)
    return _closed_classes[cls]
