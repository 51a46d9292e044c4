"""What is known already and what is still to be done, as one stream.

Items are read once, compared with the journal as they come, and only those that it does not know are handed on. Results
are pickled, and so are errors, with their notes and the traceback that a worker sent along.
"""

from __future__ import annotations

import contextlib
import pickle
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from ..errors import PicklingError, PoolBroken, PoolTerminated, RemoteError, RemoteTraceback, WorkerDied
from .given import Checkpoint
from .identity import digest_of, function_identity
from .journal import DONE, FAILED, Journal

__all__ = ["resumed"]

Outcome = tuple[int, bool, Any]  # number of the item, whether it has a result, that or the exception
Do = Callable[[Iterator[Any]], Generator[Outcome, None, None]]


def resumed(do: Do, function: Any, items: Iterable[Any], checkpoint: Any, options: dict[str, str]) -> Iterator[Outcome]:
    """The outcome of every item: those that the journal knows, and of the others what `do` says, as it says it.

    `do` is given an iterator of items and yields outcomes, numbered as it read them. `options` are what must be the
    same besides function and items. Blocks as `do` does.

    Raises: CheckpointMismatch and the others of the journal; PicklingError for an item that cannot be compared or a
    result that cannot be kept; what the iterable raises, when everything read before has been done.
    """
    if not callable(function):
        raise TypeError(f"{function!r} is not callable")
    with Journal(Checkpoint.of(checkpoint), {**function_identity(function), **options}) as journal:
        yield from _Resuming(journal, iter(items)).outcomes(do)


class _Resuming:
    """One call under way."""

    def __init__(self, journal: Journal, items: Iterator[Any]) -> None:
        self._journal, self._items = journal, items
        self._count = 0  # items read
        self._known: deque[Outcome] = deque()  # not given out yet
        self._out: dict[int, tuple[int, bytes]] = {}  # by its number for `do`: its own, and its digest
        self._error: Exception | None = None

    def outcomes(self, do: Do) -> Iterator[Outcome]:
        """See `resumed`."""
        with contextlib.closing(do(self._unknown())) as done:  # at once, also while an error keeps this frame
            for place, worked, value in done:
                while self._known:
                    yield self._known.popleft()
                number, digest = self._out.pop(place)
                self._write(number, digest, worked, value)
                yield number, worked, value
        yield from self._known
        if self._error is not None:
            raise self._error
        self._journal.check_end(self._count)

    def _unknown(self) -> Iterator[Any]:
        """Items to be done. An error ends them, and is raised when those before it are done."""
        journal = self._journal
        handed_on = 0
        try:
            for number, item in enumerate(self._items):
                self._count = number + 1
                digest = _digest_of(number, item)
                status = journal.known(number, digest)
                if status is None:
                    self._out[handed_on] = number, digest
                    handed_on += 1
                    yield item
                else:
                    self._known.append((number, status == DONE, self._remembered(number, status)))
        except Exception as error:
            self._error = error

    def _remembered(self, number: int, status: int) -> Any:
        journal, payload = self._journal, self._journal.payload(number)
        if status == DONE:
            journal.resumed += 1
            return pickle.loads(payload)
        journal.failed_before += 1
        error, text = pickle.loads(payload)
        error.__cause__ = RemoteTraceback(text) if text else None
        error.add_note(
            f"item {number} failed in an earlier run, as {journal.path} says, and was not tried again; "
            "Checkpoint(path, retry_failed=True) tries it"
        )
        return error

    def _write(self, number: int, digest: bytes, worked: bool, value: Any) -> None:
        if worked:
            try:
                payload = pickle.dumps(value, 5)
            except Exception as error:
                raise PicklingError(f"the result of item {number} cannot be kept in a checkpoint: {error}") from error
            self._journal.add(number, digest, DONE, payload)
        elif isinstance(value, Exception) and not isinstance(value, PoolBroken | PoolTerminated):
            self._journal.add(number, digest, FAILED, _pickled_error(value), hold=type(value) is WorkerDied)


def _digest_of(number: int, item: Any) -> bytes:
    try:
        return digest_of(item)
    except Exception as error:
        raise PicklingError(f"item {number} cannot be compared with a checkpoint: {error}") from error


def _pickled_error(error: Exception) -> bytes:
    """An exception and the traceback that came with it; of one that cannot be pickled, what it says."""
    cause = error.__cause__
    text = cause.text if isinstance(cause, RemoteTraceback) else ""
    try:
        payload = pickle.dumps((error, text), 5)
        pickle.loads(payload)
    except Exception:
        return pickle.dumps((RemoteError(f"{type(error).__name__}: {error}"), text), 5)
    return payload
