"""Copies: the same large object sent again and again, where sending it once would do.

Told when the same contents went out from the same line more often than there are receivers: each of them has had it
then, and gets it anew. A pool's receivers are its workers; a queue's at most the children that were started.
"""

from __future__ import annotations

from collections import defaultdict

from .._sizes import shown_size
from .finding import Finding, Place
from .journal import events

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]

__all__ = ["find"]

FEWEST = 3  # times; arbitrary


def find(directory: str) -> list[Finding]:
    """The copies of a run, the largest total first."""
    sent: dict[tuple[Any, ...], list[Event]] = defaultdict(list)
    children = 0
    for event in events(directory):
        children += event["event"] == "started"
        if event["event"] == "sent":
            site = event["stack"][0] if event["stack"] else ""
            sent[event["pid"], event["to"], event["digest"], event["size"], event["kind"], site].append(event)
    found = []
    for sightings in sent.values():
        first, count = sightings[0], len(sightings)
        objects = len({event["object"] for event in sightings})
        receivers = {"pool": first["receivers"], "queue": max(1, children), "pipe": objects}[first["to"]]
        if count >= FEWEST and count > receivers:
            found.append(_told(first, count, receivers))
    return sorted(found, key=lambda finding: -finding.details["total_bytes"])


def _told(first: Event, count: int, receivers: int) -> Finding:
    size, total = first["size"], first["size"] * count
    kind = "array" if first["kind"] == "ndarray" else first["kind"]
    sent = f"the same {kind} of {shown_size(size)} is sent {count} times to a {first['to']}"
    stack = first["stack"]
    place = Place.at("sent here", stack[0] if stack else "", process=first["who"], stack=stack)
    details = {"size_bytes": size, "times": count, "total_bytes": total, "receivers": receivers, "to": first["to"]}
    return Finding(
        "copies",
        f"{sent}: {shown_size(total)} in all",
        (place,),
        _ADVICE if first["to"] == "pool" else _OTHERWISE,
        details,
    )


_ADVICE = (
    "# Give it to each worker once:",
    "def remember(thing):",
    "    global large",
    "    large = thing",
    "",
    "pool = Pool(initializer=remember, initargs=(large,))",
    "# or put numbers where all processes see them, and send nothing:",
    'shared = multiprocessing.RawArray("d", numbers)',
)
_OTHERWISE = (
    "# Put it once where all processes see it, and send its name:",
    "from multiprocessing.shared_memory import SharedMemory",
    "memory = SharedMemory(create=True, size=len(data))",
    "memory.buf[: len(data)] = data",
    "queue.put(memory.name)",
)
