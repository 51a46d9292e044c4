"""Blocks of memory with a name, for processes that have nothing else in common: the standard library's.

Ours adds to Python 3.11 and 3.12 what later ones have: `SharedMemory(track=False)`. What lies in procession's own
values, arrays and queues needs none of this: it has no name, and is gone with its last user.
"""

from __future__ import annotations

import os
import sys
from multiprocessing import shared_memory as _standard

__all__ = ["ShareableList", "SharedMemory"]

TYPE_CHECKING = False
ShareableList = _standard.ShareableList
if TYPE_CHECKING or sys.version_info >= (3, 13) or not hasattr(_standard, "_posixshmem"):
    SharedMemory = _standard.SharedMemory
else:
    import mmap

    class SharedMemory(_standard.SharedMemory):
        """A named block of shared memory, made (`create=True`) or found by its name.

        A block made with `track=False` stays until someone unlinks it. Otherwise the standard library's resource
        tracker unlinks it when this program, the one that made *or only opened* it, has ended: a program that opens
        another's block wants `track=False`.

        Raises: ValueError for a size that is not positive; FileNotFoundError, FileExistsError for the name.
        """

        _track = True

        def __init__(self, name=None, create=False, size=0, *, track=True):
            if track:
                super().__init__(name, create, size)
                return
            self._track = False
            _check(name, create, size)
            self._name, self._fd = _open(name, create)
            try:
                if create:
                    os.ftruncate(self._fd, size)
                self._size = os.fstat(self._fd).st_size
                self._mmap = mmap.mmap(self._fd, self._size)
            except OSError:
                if create:
                    self.unlink()
                raise
            self._buf = memoryview(self._mmap)

        def unlink(self):
            """Remove the block's name; its memory goes with the last handle on it. Call it once, in one process."""
            if self._track:
                super().unlink()
            elif self._name:
                _standard._posixshmem.shm_unlink(self._name)

    def _check(name, create, size):
        if size < 0 or (create and size == 0):
            raise ValueError(f"'size' must be a positive number of bytes, not {size}")
        if name is None and not create:
            raise ValueError("'name' can only be None if create=True")

    def _open(name, create):
        """The full name and the descriptor of a block; without a name one that is not taken."""
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        while True:
            full = _standard._make_filename() if name is None else "/" + name
            try:
                return full, _standard._posixshmem.shm_open(full, flags, mode=0o600)
            except FileExistsError:
                if name is not None:
                    raise

    SharedMemory.__module__ = __name__
