"""From the arguments to the files they name, each looked at once: how large it is, whether it is compressed or binary,
and which fields a file of CSV has."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, BinaryIO

from procession.errors import InputError, SpillFull
from procession.mapreduce.compressed import MAGIC_BYTES, Unpacked, packing_of
from procession.mapreduce.errors import InputUnreadable, NoInput
from procession.mapreduce.form import Form
from procession.mapreduce.records import split_header
from procession.mapreduce.spans import Source, stamp_of

__all__ = ["Finder"]

BINARY_PROBE_BYTES = 8 << 10  # a NUL among the first bytes of a file makes it binary, as git and grep have it
COPY_BYTES = 1 << 20


class Finder:
    """Finds the files that inputs name. Copies of streams are in `copies`, to be closed by whoever made the finder."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.binary_files: int = 0  # met in directories, and left out
        self.copies: list[IO[bytes]] = []

    def find(self, inputs: Sequence[str]) -> Iterator[Source]:
        """Every file, in order. Raises NoInput, InputUnreadable, InputBroken, NoDecompressor."""
        for given in inputs:
            if given == "-":
                yield self.copied(sys.stdin.buffer, "<stdin>")
            elif os.path.isdir(given):
                yield from self.below(given)
            elif os.path.lexists(given):
                yield self.named(given)
            elif glob.has_magic(given):
                yield from self.matching(given)
            else:
                raise NoInput(errno.ENOENT, "no such file or directory", given)

    def matching(self, pattern: str) -> Iterator[Source]:
        """The files that match a pattern. Raises NoInput if there are none."""
        matches = sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise NoInput(errno.ENOENT, "no file matches this pattern", pattern)
        for path in matches:
            if not os.path.isdir(path):
                yield self.named(path)

    def below(self, directory: str) -> Iterator[Source]:
        """The text files in a directory and below it. Raises NoInput if there are none."""
        found = False
        for path in walk(directory):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a third cheaper than open(); there are many
                try:
                    source = self.looked_at(descriptor, path)
                finally:
                    os.close(descriptor)
            except OSError as error:
                raise unreadable(error, path) from error
            if source is None:
                self.binary_files += 1
                continue
            found = True
            yield source
        if not found:
            raise NoInput(errno.ENOENT, "no text file in this directory", directory)

    def named(self, path: str) -> Source:
        """A file that was named itself: taken whatever it holds. A pipe or device is copied first."""
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                if stat.S_ISREG(status.st_mode) and (status.st_size or not file.peek(1)):
                    return self.described(file.fileno(), path, path, os.pread(file.fileno(), MAGIC_BYTES, 0))
                return self.copied(file, path)  # also files of the system itself, which hold more than their size
        except SpillFull:
            raise  # it is no fault of the input
        except OSError as error:
            raise unreadable(error, path) from error

    def copied(self, stream: BinaryIO, shown: str) -> Source:
        """Copies a stream to its end into a temporary file without a name. Blocks until then."""
        copy = tempfile.TemporaryFile()  # noqa: SIM115  (workers open it through this process's /proc entry)
        self.copies.append(copy)
        _copy(stream, copy, shown)
        path = f"/proc/{os.getpid()}/fd/{copy.fileno()}"
        return self.described(copy.fileno(), path, shown, os.pread(copy.fileno(), MAGIC_BYTES, 0))

    def looked_at(self, descriptor: int, path: str) -> Source | None:
        """A file that was met in a directory; None if it is binary, or what it unpacks to is."""
        skips = self.form.skips_binary
        head = os.pread(descriptor, BINARY_PROBE_BYTES if skips else MAGIC_BYTES, 0)
        packing = self.packing(head, path)
        if packing and skips:
            head = first_bytes(descriptor, BINARY_PROBE_BYTES, packing, path)
        if skips and b"\0" in head:
            return None
        return self.described(descriptor, path, path, head, packing)

    def described(self, descriptor: int, path: str, shown: str, head: bytes, packing: str | None = None) -> Source:
        """What is to be known of an open file that begins so."""
        status = os.fstat(descriptor)
        packing = self.packing(head, path) if packing is None else packing
        source = Source(path, shown, status.st_size, stamp_of(status), packing)
        if not self.form.is_csv or not self.form.is_cut:
            return source
        read = functools.partial(first_bytes, descriptor, packing=packing, shown=shown)
        header, body = split_header(read, self.form, shown)
        return source._replace(header=header, body=body)

    def packing(self, head: bytes, path: str) -> str:
        """How a file that begins so is compressed; empty if it is to be read as it is."""
        return packing_of(head, path) if self.form.unpack else ""


def first_bytes(descriptor: int, size: int, packing: str, shown: str) -> bytes:
    """The first bytes of a file, or of what it unpacks to; fewer only if there are no more."""
    if not packing:
        return os.pread(descriptor, size, 0)
    with io.FileIO(descriptor, closefd=False) as file:
        file.seek(0)
        return Unpacked(file, packing, shown).read(size)


def walk(directory: str) -> Iterator[str]:
    """Regular files below a directory, in sorted order, not following symbolic links."""
    try:
        with os.scandir(directory) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(error, directory) from error
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)
        elif entry.is_file(follow_symlinks=False):
            yield entry.path


def unreadable(error: OSError, path: str) -> InputError:
    """The error to raise for one of the system; one of ours stays what it is."""
    if isinstance(error, InputError):
        return error
    return InputUnreadable(error.errno, error.strerror or str(error), path)


def _copy(stream: BinaryIO, copy: IO[bytes], shown: str) -> None:
    try:
        shutil.copyfileobj(stream, copy, COPY_BYTES)
        copy.flush()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        written = os.fstat(copy.fileno()).st_size
        with contextlib.suppress(OSError):
            copy.close()  # tries to write the rest once more
        directory = tempfile.gettempdir()
        message = (
            f"{os.strerror(error.errno)}: {shown} has to be copied before it is divided, and does not fit into "
            f"{directory}, where {written} bytes of it were. Nothing is left behind; free some space, or set TMPDIR to "
            "a place with more"
        )
        raise SpillFull(error.errno, message, directory=directory, written_bytes=written) from None
