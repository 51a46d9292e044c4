"""What is left behind: locks held at the end or across a fork, children nobody waits for, things only threads share.

Each is told only where the run has shown it: a lock that its child could not get any more and wants, a child that has
been dead for a second when its parent ends without having asked for it.
"""

from __future__ import annotations

from .finding import Finding, Place
from .lostwrites import Run, _site, _start_place

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]

__all__ = ["find"]

UNASKED_S = 1.0  # how long a child has been dead before it counts as forgotten; arbitrary


def find(directory: str) -> list[Finding]:
    """All of these in a run."""
    run = Run(directory)
    return [*_held(run), *_locked_across_fork(run), *_never_joined(run), *_threads_only(run)]


def _held(run: Run) -> list[Finding]:
    """Locks that a child held when it ended, and that nobody else released."""
    released: dict[tuple[int, ...], float] = {}  # the last time
    for event in run.others["released"]:
        address = tuple(event["address"])
        released[address] = max(event["time"], released.get(address, 0.0))
    found = []
    for event in run.others["held"]:
        if released.get(tuple(event["address"]), 0.0) > event["since"]:
            continue
        stack = event["stack"]
        places = [
            Place.at("acquired here, and not released", stack[0] if stack else "", process=event["who"], stack=stack)
        ]
        if event["pid"] in run.started:
            places.append(_start_place(run, run.started[event["pid"]]))
        title = "a process ended while it held a lock: what the lock guards may be half-done"
        advice = ("# `with` gives a lock back however its block is left:", "with lock:", "    ...")
        found.append(Finding("lock-at-exit", title, tuple(places), advice))
    return found


def _locked_across_fork(run: Run) -> list[Finding]:
    """Locks of threading that were held when a child was forked which uses them."""
    found = []
    for pid, start in run.started.items():
        for lock in start["locked"]:
            name, _, attribute = lock["name"].partition(".")
            known = [run.program.function(where) for where in sorted(run.child_functions(pid))]
            uses = [
                use
                for function in known
                for use in ([] if function is None else function.uses)
                if (use.file, use.name) == (lock["file"], name) and use.attribute in ("acquire", attribute)
            ]
            if not uses:
                continue
            holder = _holder(run, start, lock["file"], name, attribute)
            places = [_start_place(run, start), *holder]
            places.append(Place.at("the child waits for it here, for ever", _site(uses[0]), process=_child(run, pid)))
            title = f"`{lock['name']}` was held when a child was forked, whose copy of it nobody will ever release"
            advice = (
                "# Start processes before threads, or in a fresh interpreter:",
                'context = multiprocessing.get_context("spawn")',
                "# or use a lock that processes share:",
                f"{name} = multiprocessing.Lock()",
            )
            found.append(Finding("lock-across-fork", title, tuple(places), advice, {"lock": lock["name"]}))
    return found


def _child(run: Run, pid: int) -> str:
    return run.who.get(pid) or f"{run.started[pid]['name']}, pid {pid}"


def _holder(run: Run, start: Event, file: str, name: str, attribute: str) -> list[Place]:
    """Where another thread was that seems to hold the lock: in a function that names it."""
    for thread in start["threads"]:
        for number, site in enumerate(thread["stack"]):
            place = Place.at("", site)
            function = run.program.function((place.file, place.function))
            uses = [] if function is None else function.uses
            if any((use.file, use.name) == (file, name) and use.attribute in ("acquire", attribute) for use in uses):
                stack = thread["stack"][number:]
                who = {"process": run.who[start["pid"]], "thread": thread["name"]}
                return [Place.at("held here by another thread", site, stack=stack, **who)]
    return []


def _never_joined(run: Run) -> list[Finding]:
    ends = {event["pid"]: event["time"] for event in run.others["ended"]}
    found = []
    for event in run.others["zombies"]:
        for pid in event["children"]:
            start, since = run.started.get(pid), event["time"] - ends.get(pid, event["time"])
            if start is None or start["daemon"] or since < UNASKED_S:
                continue
            title = f"{start['name']} was never joined: it had ended {since:.0f} s before its parent, which never asked"
            advice = (
                "process.join()  # frees what the system keeps of it",
                "if process.exitcode != 0:",
                "    ...",
            )
            found.append(Finding("never-joined", title, (_start_place(run, start),), advice, {"seconds": since}))
    return found


_INSTEAD = {
    "Queue": "Queue()",
    "LifoQueue": "Queue()",
    "PriorityQueue": "Queue()",
    "SimpleQueue": "SimpleQueue()",
    "lock": "Lock()",
    "RLock": "RLock()",
    "Condition": "Condition()",
    "Event": "Event()",
    "Semaphore": "Semaphore(...)",
    "BoundedSemaphore": "BoundedSemaphore(...)",
    "Barrier": "Barrier(...)",
}


def _threads_only(run: Run) -> list[Finding]:
    """What was handed to a child although only threads of one process can share it."""
    found = []
    for event in run.others["shared"]:
        instead = _INSTEAD.get(event["kind"])
        if instead is None:
            continue
        module = "queue" if "Queue" in event["kind"] else "threading"
        kind = "Lock" if event["kind"] == "lock" else event["kind"]
        stack, target = event["stack"], event["target"]
        places = [Place.at("handed to the child here", stack[0] if stack else "", process=event["who"], stack=stack)]
        package = run.program.package(target[0]) if target else "multiprocessing"
        if target:
            site = f"{target[0]}:{target[2]} in {target[1]}"
            places.append(Place.at("the child, which has one of its own", site))
        title = f"a {module}.{kind} is for the threads of one process: a child's is another one"
        advice = (f"# {module}.{kind} does not reach another process; this one does:", f"{package}.{instead}")
        details = {"argument": str(event["argument"]), "kind": f"{module}.{kind}"}
        found.append(Finding("lost-write", title, tuple(places), advice, details))
    return found
