"""What is told of a deadlock: data, and the text made of it."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import asdict, dataclass

from .. import _native
from .._sites import short_site
from ..errors import DeadlockError
from .facts import arenas, label_text

TYPE_CHECKING = False  # as everywhere in the package
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .graph import Facts, Thread, Wait

__all__ = ["CHECK_VARIABLE", "Participant", "Place", "error", "leave_behind"]

CHECK_VARIABLE = "PROCESSION_CHECK"  # the directory of a run of `procession check`


@dataclass(frozen=True)
class Place:
    """Something held or waited for, and where in the program."""

    what: str
    """"Lock made at bank.py:3", or its name."""
    site: str
    """"/full/path/bank.py:12 in deposit"; "" when it is not known."""
    since: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Participant:
    """One of those who wait for each other."""

    pid: int
    process: str
    """The process's name."""
    native_id: int
    """The kernel's id of the thread."""
    ident: int
    """Python's."""
    thread: str
    """The thread's name, as far as it is known: "MainThread", or a name if it is of the process that tells."""
    holds: tuple[Place, ...]
    waits: Place

    def __str__(self) -> str:
        who = f"{self.process} (pid {self.pid}, {self.thread})"
        held = "".join(f"\n    holds {place.what}, taken at {place.site or 'an unknown line'}" for place in self.holds)
        return f"{who}{held}\n    waits {self.waits.what} at {self.waits.site or 'an unknown line'}"


def _what(key: Any, things: Any) -> str:
    """Name an object for people."""
    if key[0] == "here":
        return "a queue of threads"
    arena = arenas()[key[0]]
    kind = things[key].kind if key in things else (_native.obstacle(arena, key[1]) or ("an object",))[0]
    site, name = _native.labels_at(arena, key[1])
    if name:
        return f"{kind} {label_text(arena, name)!r}"
    made = short_site(label_text(arena, site))
    return f"{kind} made at {made}" if made else kind


_VERBS = {
    "acquire": "for {}",
    "get": "for an item of {}",
    "put": "for room in {}",
    "result": "for a result of a pool",
    "finish": "until all items of {} are done with",
}


def _waited(wait: Wait, facts: Facts, names: dict[int, str]) -> str:
    if wait.action == "join":
        pid = wait.key[1]
        if not wait.detail:
            return f"for the end of {names.get(pid, 'process')} ({pid})"
        return f"for the end of {_named_thread(wait.thread[0], wait.detail) or f'thread {wait.detail}'}"
    return _VERBS.get(wait.action, wait.action + " {}").format(_what(wait.key, facts.things))


def _named_thread(pid: int, native: int) -> str:
    """The name of a thread of this process; "" of others."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()} if pid == os.getpid() else {}
    return names.get(native, "")


def _thread_name(wait: Wait) -> str:
    is_main = wait.native == wait.thread[0]
    return _named_thread(wait.thread[0], wait.native) or ("MainThread" if is_main else f"thread {wait.native}")


def _participant(wait: Wait, facts: Facts, names: dict[int, str]) -> Participant:
    shift = time.time() - time.monotonic()
    holds = sorted((hold for hold in facts.holds if hold.thread == wait.thread), key=lambda hold: hold.since)
    held = tuple(Place(_what(hold.key, facts.things), hold.site, hold.since + shift) for hold in holds)
    waited = Place(_waited(wait, facts, names), wait.site, wait.since + shift)
    pid, ident = wait.thread
    return Participant(pid, names.get(pid, f"process {pid}"), wait.native, ident, _thread_name(wait), held, waited)


def error(part: Iterable[Thread], first: Thread, facts: Facts, names: dict[int, str]) -> DeadlockError:
    """The exception for those who wait for each other, to be raised in `first`."""
    rest = sorted((facts.waits[thread] for thread in part if thread != first), key=lambda wait: wait.since)
    participants = tuple(_participant(wait, facts, names) for wait in [facts.waits[first], *rest])
    if len(_parties(participants)) == 1:
        head = "nobody is left who could end this wait"
    else:
        head = f"deadlock: {len(participants)} threads wait for each other"
    text = "\n".join([head, *(f"  {participant}" for participant in participants)])
    return DeadlockError(text, participants=participants)


def _parties(participants: tuple[Participant, ...]) -> tuple[Participant, ...]:
    """Those of a deadlock that are no mere audience: one waits for an item, and the rest for the end of that one."""
    rest = tuple(participant for participant in participants if not participant.waits.what.startswith("for the end"))
    at_queue = len(rest) == 1 and rest[0].waits.what.startswith(("for an item", "for room", "until all items"))
    return rest if at_queue else participants


def leave_behind(kind: str, told: dict[str, Any]) -> None:
    """For `procession check`: a line of JSON in the directory of the run, if this is one. Survives any death."""
    directory = os.environ.get(CHECK_VARIABLE)
    if not directory:
        return
    line = json.dumps({"kind": kind, "time": time.monotonic(), **told}) + "\n"
    try:
        with open(os.path.join(directory, f"deadlocks-{os.getpid()}.jsonl"), "a") as file:
            file.write(line)
    except OSError:
        pass  # the directory is gone: the run is over


def leave_deadlock(deadlock: DeadlockError) -> None:
    """The same, of a deadlock."""
    participants = [asdict(participant) for participant in deadlock.participants]
    kind = "deadlock" if len(_parties(deadlock.participants)) > 1 else "nobody-can-fill"
    leave_behind(kind, {"text": str(deadlock), "participants": participants})
