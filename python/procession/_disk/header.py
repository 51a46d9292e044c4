"""The first page of a file that is an object's home: what lives there.

| bytes     | content                                                                                                |
| --------- | ------------------------------------------------------------------------------------------------------ |
| 0–7       | `PROCHOME`                                                                                             |
| 8–11      | version of this format, 1                                                                              |
| 12–15     | kind: place in `KINDS`, from 1                                                                         |
| 16–19     | flags: `UNFINISHED`                                                                                    |
| 20–23     | CRC-32 of bytes 0–511, with zero in its own place                                                      |
| 24–31     | bytes of an item                                                                                       |
| 32–39     | number of items                                                                                        |
| 40–511    | the type of the items: a typecode, or a structure with its fields; UTF-8, padded with zeros            |
| 512–1023  | the kind's own; of a queue 16 bytes: the boot of the machine in which it was last opened by the first  |
| 1024–4095 | the meeting: who has it open (`meeting`)                                                               |
| 4096–     | the data of a Value or an Array, as C has them: `numpy.memmap(path, dtype, offset=4096)` reads them     |

All numbers are little-endian, the data as this machine has them. The checked part never changes once it is finished. An
empty file is one that nobody has begun to make, so an empty file of the user's own (of `mkstemp`, say) will do. While
it is being made it is `UNFINISHED`; whoever finds it so, with the gate locked, knows that its maker died, and makes it.
"""

from __future__ import annotations

import os
import struct
from binascii import crc32

from ..errors import HomeDamaged, HomeMismatch, HomeTooNew, NotAHome

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["KINDS", "PAGE", "VERSION", "Header", "check", "is_of_this_boot", "read", "set_boot", "write"]

PAGE = 4096  # bytes
VERSION = 1
KINDS = ("value", "array", "lock", "rlock", "queue", "joinablequeue")
UNFINISHED = 1  # in the flags

_MAGIC = b"PROCHOME"
_CHECKED = struct.Struct("<8sIIIIQQ472s")
_BOOT = 512  # where its 16 bytes are
_NAMES = ("Value", "Array", "Lock", "RLock", "Queue", "JoinableQueue")


class Header(tuple["str", "str", int, int]):
    """What a file says of itself: kind, type of the items, bytes of one, and how many."""

    __slots__ = ()

    def __new__(cls, kind: str, type_: str = "", item_size: int = 0, length: int = 0) -> Header:
        """Raises: ValueError for a kind that is not among `KINDS`, or a type that is described in too many words."""
        if kind not in KINDS:
            raise ValueError(f"no kind {kind!r}; there are {', '.join(KINDS)}")
        if len(type_.encode()) > 472:
            raise ValueError(f"the description of the type takes more than 472 bytes: {type_[:80]}...")
        return super().__new__(cls, (kind, type_, item_size, length))

    kind = property(lambda self: self[0])
    type = property(lambda self: self[1])
    item_size = property(lambda self: self[2])
    length = property(lambda self: self[3])

    @property
    def size(self) -> int:
        """Bytes of all items."""
        return self[2] * self[3]

    def describe(self) -> str:
        """For messages: "an Array of 100 x 'i' (4 bytes each)"."""
        name = _NAMES[KINDS.index(self.kind)]
        what = f"an {name}" if name[0] in "AR" else f"a {name}"
        if self.kind == "value":
            return f"{what} of type {self.type!r} ({self.item_size} bytes)"
        length = "any length" if self.length < 0 else self.length
        return f"{what} of {length} x {self.type!r} ({self.item_size} bytes each)" if self.kind == "array" else what

    def pack(self, flags: int = 0) -> bytes:
        """The checked bytes."""
        kind = KINDS.index(self.kind) + 1
        fields: list[Any] = [_MAGIC, VERSION, kind, flags, 0, self.item_size, self.length, self.type.encode()]
        fields[4] = crc32(_CHECKED.pack(*fields))
        return _CHECKED.pack(*fields)


def write(file: int, header: Header, *, is_finished: bool) -> None:
    """Say in a file what lives there, or will."""
    os.pwrite(file, header.pack(0 if is_finished else UNFINISHED), 0)


def read(file: int, path: str) -> Header | None:
    """What lives in a file; None when it is yet to be made. Raises: NotAHome, HomeTooNew, HomeDamaged."""
    length = os.fstat(file).st_size
    if length == 0:
        return None
    page = os.pread(file, _CHECKED.size, 0)
    if not page.startswith(_MAGIC):
        if _MAGIC.startswith(page):
            raise _damaged(path, f"it ends after {length} bytes")
        raise NotAHome(
            f"{path} is not a file of procession's (it begins with {page[:8]!r}); give another path, or move it away",
            path=path,
        )
    if len(page) < _CHECKED.size:
        raise _damaged(path, f"it ends after {length} bytes, within its header")
    _, version, kind, flags, checksum, item_size, items, type_ = _CHECKED.unpack(page)
    if version > VERSION:
        raise HomeTooNew(
            f"{path} has format {version}, and this version of procession knows formats up to {VERSION}: "
            "use a later version",
            path=path,
            version=version,
        )
    if crc32(page[:20] + bytes(4) + page[24:]) != checksum or not 1 <= kind <= len(KINDS):
        raise _damaged(path, "its header was written over (the checksum does not fit)")
    if flags & UNFINISHED:
        return None
    header = Header(KINDS[kind - 1], type_.rstrip(b"\0").decode(errors="replace"), item_size, items)
    if not header.kind.endswith("queue") and length < PAGE + header.size:  # of queues others look after that
        raise _damaged(path, f"it was cut off: {length} bytes are left of {PAGE + header.size}")
    return header


def check(found: Header, asked: Header, path: str) -> None:
    """Raise HomeMismatch unless what lives there is what was asked for. An asked length of -1 is any length."""
    wanted = found.length if asked.length < 0 else asked.length
    if (*asked[:3], wanted) != found:
        raise HomeMismatch(
            f"{path} holds {found.describe()}, and {asked.describe()} was asked for",
            path=path,
            found=found.describe(),
            asked=asked.describe(),
        )


def is_of_this_boot(file: int) -> bool:
    """Whether `set_boot` was last called since the machine started: no power cut can have lost anything since then."""
    boot = _boot()
    return any(boot) and os.pread(file, len(boot), _BOOT) == boot


def set_boot(file: int) -> None:
    """Note that what lies in the files now has been read in this boot of the machine, or was made in it."""
    os.pwrite(file, _boot(), _BOOT)


def _boot() -> bytes:
    try:
        with open("/proc/sys/kernel/random/boot_id") as told:
            return bytes.fromhex(told.read().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def _damaged(path: str, why: str) -> HomeDamaged:
    return HomeDamaged(f"{path} is damaged: {why}; restore it from a copy, or remove it to begin anew", path=path)
