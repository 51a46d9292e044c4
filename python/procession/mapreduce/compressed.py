"""Compressed files: which ones are, and what they unpack to, read as a stream.

The first bytes decide, not the name: a file called `.gz` that is not gzip is read as it is (servers hand such files
out), and one that is gzip is unpacked whatever it is called (its first bytes are no text in any encoding).
"""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
from collections.abc import Callable
from typing import Any, BinaryIO

from procession.mapreduce.errors import InputBroken, NoDecompressor

__all__ = ["MAGIC_BYTES", "Unpacked", "packing_of"]

MAGIC_BYTES = 14  # as many of the first bytes of a file as say how it is compressed

BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")  # what follows the size digit: a block, or the end of an empty file
ZSTD_PLACES = ("compression.zstd", "backports.zstd")  # Python 3.14 has it, a package for older ones


def packing_of(head: bytes, path: str) -> str:
    """How a file with these first bytes is compressed: `gzip`, `bzip2`, `xz`, `zstd`; or empty if it is not."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"BZh") and head[4:10] in BZIP2_BLOCKS:
        return "bzip2"
    if head.startswith(b"\xfd7zXZ\0"):
        return "xz"
    skippable = head[1:4] == b"*M\x18" and head[0] >> 4 == 5 and path.endswith(".zst")  # pzstd begins so
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") or skippable else ""


def open_zstd(file: BinaryIO) -> Any:
    """Raises ModuleNotFoundError if this interpreter has no zstd."""
    for place in ZSTD_PLACES:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError:
            continue
        return module.ZstdFile(file)
    raise ModuleNotFoundError("zstd")


PACKINGS: dict[str, Callable[[BinaryIO], Any]] = {
    "gzip": lambda file: gzip.GzipFile(fileobj=file),
    "bzip2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zstd": open_zstd,
}


class Unpacked:
    """What a compressed file unpacks to, from its start to its end. Several streams one after another are one.

    Holds some hundred KiB, however long it is. Raises NoDecompressor when made.
    """

    def __init__(self, file: BinaryIO, packing: str, shown: str) -> None:
        self._packing, self._shown = packing, shown
        try:
            self._stream = PACKINGS[packing](file)
        except ModuleNotFoundError:
            raise NoDecompressor(
                shown,
                f"is compressed with {packing}; Python before 3.14 needs a package: pip install 'procession[zstd]'",
            ) from None

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end. Raises InputBroken if the data is damaged or ends too early,
        OSError if the file cannot be read."""
        try:
            data: bytes = self._stream.read(size)
        except EOFError:
            raise InputBroken(self._shown, f"the {self._packing} data ends too early") from None
        except MemoryError:
            raise
        except Exception as error:  # each library has errors of its own, and two of them use OSError
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise InputBroken(self._shown, f"the {self._packing} data is damaged ({error})") from error
        return data
