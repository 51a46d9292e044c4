"""Deadlocks and orders of locks, as findings: what `_deadlocks` noticed during the run and left behind.

In check mode deadlocks are looked for in every process (`beginning` sees to it). Who is told of one writes it down
first, a line of JSON in a file of its process, so that it is known whatever the program makes of the exception. As a
rule the exception ends a process, and then others may wait for ever for what that would have done: a deadlock with a
process of an earlier one is a consequence, and not told.
"""

from __future__ import annotations

import json
import os
from glob import escape, glob

from .finding import Finding, Place

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["find"]

_ADVICE = {
    "deadlock": (
        "# Take the locks in the same order everywhere. Before join(), get() or",
        "# put(), release those that the other side needs; and of two queues that",
        "# are full, somebody has to empty one first.",
    ),
    "nobody-can-fill": (
        "# Tell those who wait that no more comes:",
        "queue.shutdown()  # get() raises ShutDown when the queue is empty",
    ),
    "lock-order": ("# Take the locks in the same order everywhere.",),
}


def find(directory: str) -> list[Finding]:
    """All that was noticed in the run that left this directory."""
    noticed = []
    for path in glob(os.path.join(escape(directory), "deadlocks-*.jsonl")):
        with open(path) as file:
            # The last line may be cut off by a death
            noticed += [json.loads(line) for line in file if line.endswith("\n")]
    findings = []
    involved: set[int] = set()
    for told in sorted(noticed, key=lambda told: told["time"]):
        pids = {participant["pid"] for participant in told.get("participants", ())}
        if not pids & involved:
            findings.append(_finding(told))
        involved |= pids
    return findings


def _finding(told: dict[str, Any]) -> Finding:
    kind = told["kind"]
    if kind == "lock-order":
        places = tuple(place for order in told["orders"] for place in _of_order(order))
        orders = ", ".join(f"{first} before {second}" for first, second in (order["locks"] for order in told["orders"]))
        title = f"locks are taken in orders that may end in a deadlock: {orders}"
        return Finding(kind, title, places, _ADVICE[kind], {})
    participants = told["participants"]
    places = tuple(place for participant in participants for place in _of_participant(participant))
    if kind == "deadlock":
        title = f"{len(participants)} threads wait for each other, and would for ever"
    else:
        # Who waits for the end of that one may be among them.
        stuck = next(
            (one for one in participants if not one["waits"]["what"].startswith("for the end")), participants[0]
        )
        waits = stuck["waits"]["what"]
        title = f"{stuck['process']} waits {waits}, and nobody is left who could end that"
    return Finding(kind, title, places, _ADVICE[kind], {"participants": participants})


def _of_participant(participant: dict[str, Any]) -> list[Place]:
    who = {"process": f"{participant['process']}, pid {participant['pid']}"}
    if participant["thread"] != "MainThread":
        who["thread"] = participant["thread"].removeprefix("thread ")
    waits = participant["waits"]
    places = [Place.at(f"waits {waits['what']}", waits["site"], **who)]
    return [*places, *(Place.at(f"holds {held['what']}", held["site"], **who) for held in participant["holds"])]


def _of_order(order: dict[str, Any]) -> list[Place]:
    who = {"process": order["process"]}
    first, second = order["locks"]
    return [
        Place.at(f"takes lock {first}", order["held"], **who),
        Place.at(f"then takes lock {second}, while it has {first}", order["taken"], **who),
    ]
