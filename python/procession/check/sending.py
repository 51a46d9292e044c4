"""Large objects on their way to another process: what was sent, how large it is, and whether it was sent before.

Looked at is what a program hands to a pool, a queue or a pipe: arguments, their elements, and those of small containers
in them. An object of a MiB or more is told with a checksum of its contents, which takes about as long as copying it; an
object that is changed before it is sent again is another one.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import zlib

from .. import _native, connection, queues
from ..executor import engines
from ..pool import supervisor
from .hooks.replacing import replace
from .journal import stack, tell

TYPE_CHECKING = False  # `typing` is slow to import, and every process of a checked program imports this
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["LARGE", "large_parts", "watch"]

LARGE = 1 << 20  # bytes
MOST_PARTS = 64  # of a container that are looked at
MOST_DEPTH = 4
MOST_TOLD = 1000  # of a process: what comes after is not told
_told = 0
_is_small = _native.is_small  # sees at a glance that there is nothing to look for


def watch() -> None:
    """Look at what this process sends, from now on."""
    core: Any = supervisor.Supervisor
    submit, submit_one = core.submit, core.submit_one

    def watched_submit(
        self: Any, job: Any, function: Any, kind: int, index: int, payloads: Iterable[Any], *rest: Any
    ) -> int:
        if self.engine.method != "thread":
            payloads = _looked_at(payloads, _pool(self))
        put: int = submit(self, job, function, kind, index, payloads, *rest)
        return put

    def watched_submit_one(self: Any, job: Any, function: Any, kind: int, payload: Any) -> None:
        if self.engine.method != "thread" and not _is_small(payload, LARGE):
            _look(payload, _pool(self))
        submit_one(self, job, function, kind, payload)

    replace(core, submit=watched_submit, submit_one=watched_submit_one)
    processes: Any = engines.Processes
    put_future = processes._put

    def watched_put_future(self: Any, future: Any, function: Any, kind: int, payload: Any) -> None:
        if not _is_small(payload, LARGE):
            _look(payload, {"to": "pool", "receivers": len(self.workers), "object": id(self)})
        put_future(self, future, function, kind, payload)

    replace(processes, _put=watched_put_future)
    _watch_messages()


def _watch_messages() -> None:
    queue: Any = queues._RingQueue
    put = queue.put

    def watched_put(self: Any, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        if not _is_small(obj, LARGE):
            _look(obj, {"to": "queue", "receivers": 0, "object": self.address[0]})
        put(self, obj, block, timeout)

    replace(queue, put=watched_put)
    end: Any = connection.RingConnection
    send = end.send

    def watched_send(self: Any, obj: Any) -> None:
        if not _is_small(obj, LARGE):
            _look(obj, {"to": "pipe", "receivers": 1, "object": id(self)})
        send(self, obj)

    replace(end, send=watched_send)


def _pool(core: Any) -> dict[str, Any]:
    return {"to": "pool", "receivers": core.size, "object": id(core)}


def _looked_at(payloads: Iterable[Any], facts: dict[str, Any]) -> Iterable[Any]:
    for payload in payloads:
        if not _is_small(payload, LARGE):
            _look(payload, facts)
        yield payload


def _look(payload: Any, facts: dict[str, Any]) -> None:
    with contextlib.suppress(Exception):  # of objects that cannot be looked at
        _tell_large(payload, facts)


def _tell_large(payload: Any, facts: dict[str, Any]) -> None:
    global _told
    if _told >= MOST_TOLD:
        return
    for part, size in large_parts(payload):
        digest = _digest(part)
        if digest is not None:
            _told += 1
            tell("sent", kind=type(part).__name__, size=size, digest=digest, stack=stack(), **facts)


# Sizes


def large_parts(value: Any, depth: int = 0) -> list[tuple[Any, int]]:
    """The largest objects in a value that are at least `LARGE`, each with its approximate size in bytes when sent."""
    size = _size(value)
    if size >= LARGE:
        return [(value, size)]
    if depth >= MOST_DEPTH or isinstance(value, (str, bytes, bytearray, int, float, type(None))):
        return []
    inner: Any = ()
    if isinstance(value, (tuple, list, set, frozenset)):
        inner = value
    elif isinstance(value, dict):
        inner = value.values()
    elif type(value).__module__ not in ("builtins", "procession._native"):
        inner = (getattr(value, "__dict__", None) or {}).values()
    found = []
    for number, part in enumerate(inner):
        if number >= MOST_PARTS:
            break
        found += large_parts(part, depth + 1)
    return found


def _size(value: Any) -> int:
    """Bytes of a string, an array, or a long list or dict of small things; 0 for anything else."""
    if isinstance(value, (str, bytes, bytearray)):
        return len(value)
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        return _size_of_many(value)
    number = getattr(value, "nbytes", 0)
    if isinstance(number, int) and number >= LARGE:
        return number
    if type(value).__module__ == "array":
        return len(value) * int(value.itemsize)
    return 0


def _size_of_many(value: Any) -> int:
    """From a few elements; those that are large themselves are looked at alone."""
    if len(value) < LARGE // 64:
        return 0
    if isinstance(value, (list, tuple)):
        sizes = [_pickled(part) for part in value[:: max(1, len(value) // 16)]]
    elif isinstance(value, dict):
        sizes = [_pickled(key) + _pickled(part) for key, part in itertools.islice(value.items(), 16)]
    else:
        sizes = [_pickled(part) for part in itertools.islice(value, 16)]
    return len(value) * sum(sizes) // max(1, len(sizes))


def _pickled(part: Any) -> int:
    if isinstance(part, (int, bool, type(None))):
        return 1 if isinstance(part, (bool, type(None))) else max(2, part.bit_length() // 8 + 1)
    return 9 if isinstance(part, float) else sys.getsizeof(part) - 40


def _digest(value: Any) -> int | None:
    """A checksum of the contents; None when they cannot be read."""
    try:
        if isinstance(value, str):
            return zlib.crc32(value.encode("utf-8", "surrogatepass"))
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            import pickle

            return zlib.crc32(pickle.dumps(value, 5))
        contents: Any = value
        if hasattr(value, "__array__") and hasattr(value, "tobytes") and not value.flags.c_contiguous:
            contents = value.tobytes()
        return zlib.crc32(memoryview(contents).cast("B"))
    except Exception:
        return None
