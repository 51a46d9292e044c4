"""faster-fifo: a bounded ring of bytes with pickle around it.

Its `get` raises `Empty` when a message is larger than its read buffer, so the buffer is sized beforehand; its default
timeouts of ten seconds are left alone, since nothing here takes that long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import faster_fifo  # type: ignore[import-not-found, unused-ignore]

from benchmarks.rivals import Base, Batches

RING_BYTES = 1_000_000  # its default
SLACK_BYTES = 4096  # pickle's frame around a message


class FifoBatches:
    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def put(self, items: Sequence[Any]) -> None:
        self._queue.put_many(items)

    def get(self, most: int) -> Any:
        return self._queue.get_many(max_messages_to_get=most)


class Fifo(Base):
    def queue(self, maxsize: int = 0, item_bytes: int = 0) -> Any:
        item_bytes += SLACK_BYTES
        queue = faster_fifo.Queue(max_size_bytes=max(RING_BYTES, item_bytes * max(maxsize, 1)))
        queue.reallocate_msg_buffer(max(RING_BYTES, item_bytes))
        return queue

    def batches(self, queue: Any) -> Batches:
        return FifoBatches(queue)


def make(name: str) -> Fifo:
    return Fifo(name)
