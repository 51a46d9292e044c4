"""What tasks on Ray share: one actor has the state of all locks, queues and values of a program.

Ray's own distributed primitive is an actor, and an actor is a process of 80 MB that takes half a second to start: so
not one for each, as `ray.util.queue.Queue` has it, but one for all that a context makes, and another, which outlives
the programs, for all that have a name. An actor for each was also dropped because Ray ends it when those handles are
gone that it knows of, and not those that travel within our own packs.

The rules are plain classes whose methods never wait: they do it and answer, or answer `WAIT`. Waiting is in one place,
`Keeper.ask`, which tries again whenever something has changed, and every 100 ms looks whether those that hold
something, or wait for it, still live. Whoever asks says who it is: node, process and its start time. A process on
another node is asked for by a task there, every two seconds; a program that is a client of Ray (ray://host:port) is
not on any node, and counts as living.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..._stat import START, stat
from ...errors import NotOwner, ReleaseError

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Who = tuple[str | None, int, str, int]  # node, process, when it started, thread

__all__ = ["NAMESPACE", "WAIT", "Event", "Keeper", "Queue", "RLock", "Semaphore", "Value", "started", "start_keeper"]

NAMESPACE = "procession"
OF_NAMES = "procession-names"  # the keeper of what has a name
LOOK_S = 0.1  # between two looks at the processes of this node
LOOK_FAR_S = 2.0  # and of others
ON_HEAD = {"node:__internal_head__": 0.001}  # no other node's death is to cost what all share
MOST_ASKING = 10_000  # at a time: Ray lets more wait outside, where who would wake them up waits as well

WAIT = object()


def start_keeper(own: str | None) -> tuple[str, Any]:
    """Start a program's own keeper, or find the one of what has a name (None). Does not wait for it.

    What it is called, and a handle: when that is dropped, or its program ends, so does a keeper of its own.
    """
    name = OF_NAMES if own is None else f"procession-{own}"
    keeper = ray.remote(Keeper).options(
        name=name,
        namespace=NAMESPACE,
        num_cpus=0,
        resources=ON_HEAD,
        max_concurrency=MOST_ASKING,
        lifetime="detached" if own is None else None,
        get_if_exists=own is None,
    )
    return name, keeper.remote()


def started(pid: int) -> str:
    """When a process started, in ticks since boot; "" if there is none, or it is dead and not collected."""
    try:
        fields = stat(pid)
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[START]


# The rules. A method answers, or answers WAIT and has changed nothing.


class Semaphore:
    """Permits. A Lock is one permit that is always its taker's."""

    def __init__(self, value: int = 1, most: int | None = None) -> None:
        self.value, self._most = value, most
        self._holders: list[Who] = []  # of permits that come back when these die
        self._lost: Who | None = None  # the last that died, until somebody was told

    def acquire(self, who: Who | None) -> Any:
        """Take a permit, for `who` or nobody. (True, and whose death freed one.)"""
        if self.value <= 0:
            return WAIT
        self.value -= 1
        if who is not None:
            self._holders.append(who)
        lost, self._lost = self._lost, None
        return True, lost

    def release(self, who: Who, count: int = 1) -> None:
        """Give permits back. Raises: ReleaseError for more than there may be."""
        if self._most is not None and self.value + count > self._most:
            raise ReleaseError("released more often than acquired")
        self.value += count
        for _ in range(min(count, self._holders.count(who))):
            self._holders.remove(who)
        if self.value == self._most:  # whoever gave it back: a Lock is not always released by its holder
            self._holders.clear()

    def get_value(self) -> int:
        return self.value

    def holders(self) -> Iterator[Who]:
        yield from self._holders

    def bury(self, dead: Who) -> None:
        """A holder has died."""
        self._holders.remove(dead)
        self.value, self._lost = self.value + 1, dead


class RLock:
    """A lock that its holder, a thread, may take again."""

    def __init__(self) -> None:
        self._holder: Who | None = None
        self._depth = 0
        self._lost: Who | None = None

    def acquire(self, who: Who) -> Any:
        if self._holder not in (None, who):
            return WAIT
        self._holder, self._depth = who, self._depth + 1
        lost, self._lost = self._lost, None
        return True, lost

    def release(self, who: Who) -> None:
        """Raises: NotOwner in any thread but the holder's."""
        if self._holder != who:
            raise NotOwner("attempt to release recursive lock not owned by thread")
        self._depth -= 1
        if not self._depth:
            self._holder = None

    def holders(self) -> Iterator[Who]:
        if self._holder is not None:
            yield self._holder

    def bury(self, dead: Who) -> None:
        self._holder, self._depth, self._lost = None, 0, dead


class Event:
    """A flag."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self, to: bool) -> None:
        self._is_set = to

    def is_set(self) -> bool:
        return self._is_set

    def wait(self) -> Any:
        return True if self._is_set else WAIT

    def holders(self) -> Iterator[Who]:
        yield from ()


class Queue:
    """Items, as bytes. With leases (a JoinableQueue) one is its taker's until it is done, and comes back if he dies."""

    def __init__(self, maxsize: int = 0, has_leases: bool = False) -> None:
        self._most, self._has_leases = maxsize, has_leases
        self._items: deque[bytes] = deque()
        self._leased: dict[Who, deque[bytes]] = {}

    def put(self, item: bytes) -> Any:
        if 0 < self._most <= len(self._items):
            return WAIT
        self._items.append(item)
        return None

    def get(self, who: Who) -> Any:
        if not self._items:
            return WAIT
        item = self._items.popleft()
        if self._has_leases:
            self._leased.setdefault(who, deque()).append(item)
        return item

    def task_done(self, who: Who) -> None:
        """The oldest that `who` took is done. Raises: ValueError when it has none."""
        if who not in self._leased:
            raise ValueError("task_done() called too many times")
        self._leased[who].popleft()
        if not self._leased[who]:
            del self._leased[who]

    def join(self) -> Any:
        return WAIT if self._items or self._leased else None

    def size(self) -> tuple[int, int]:
        """How many there are, and may be (0: no bound)."""
        return len(self._items), self._most

    def holders(self) -> Iterator[Who]:
        yield from self._leased

    def bury(self, dead: Who) -> None:
        self._items.extendleft(reversed(self._leased.pop(dead)))


class Value:
    """A value of a typecode, which is asked for only so that recipes differ where it does."""

    def __init__(self, typecode: str, value: Any) -> None:
        self._value = value

    def get(self) -> Any:
        return self._value

    def set(self, value: Any) -> None:
        self._value = value

    def holders(self) -> Iterator[Who]:
        yield from ()


RULES: dict[str, Any] = {"Semaphore": Semaphore, "RLock": RLock, "Event": Event, "Queue": Queue, "Value": Value}


# The actor


class _Thing:
    """One of them, and what wakes those who wait."""

    def __init__(self, recipe: tuple[Any, ...]) -> None:
        self.recipe, self.rules = recipe, RULES[recipe[0]](*recipe[1:])
        self.changed = asyncio.Event()

    def wake(self) -> None:
        """Have all who wait try again, in the order in which they came."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Keeper:
    """The actor; its methods run in one event loop."""

    def __init__(self) -> None:
        self._things: dict[tuple[str, str], _Thing] = {}
        self._node = ray.get_runtime_context().get_node_id()
        self._seen: dict[Who, tuple[float, bool]] = {}  # of processes on other nodes: when looked for, do they live
        self._looks: set[Any] = set()
        self._withdrawn: dict[tuple[Who, int], None] = {}  # what was asked and is not waited for, the oldest first

    async def ask(
        self,
        address: tuple[str, str],
        recipe: tuple[Any, ...],
        what: str,
        details: tuple[Any, ...],
        timeout: float | None,
        who: Who,
        number: int,
    ) -> tuple[bool, Any]:
        """Have `what` done with the thing at an address, which is made by the recipe when it is first asked for.

        (True, the answer), or after `timeout` seconds of waiting (False, None). Raises: what the rules do; TypeError
        when it was made by another recipe.
        """
        thing = self._things.get(address)
        if thing is None:
            thing = self._things[address] = _Thing(recipe)
        elif thing.recipe[:2] != recipe[:2]:
            made, asked = thing.recipe[1:], recipe[1:]
            raise TypeError(f"there is a {address[0]} named {address[1]!r} already, made with {made}, not {asked}")
        clock = asyncio.get_running_loop().time
        deadline = None if timeout is None else clock() + timeout
        while (answer := getattr(thing.rules, what)(*details)) is WAIT:
            left = LOOK_S if deadline is None else min(LOOK_S, deadline - clock())
            if left <= 0:
                return False, None
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(thing.changed.wait(), left)
            self._bury(thing)
            if (who, number) in self._withdrawn or not self._lives(who):
                self._withdrawn.pop((who, number), None)
                return False, None
        thing.wake()
        return True, answer

    async def withdraw(self, who: Who, number: int) -> None:
        """Who asked this does not wait any more: nothing is to be taken for it. (It may be, and be on its way.)"""
        self._withdrawn[who, number] = None
        if len(self._withdrawn) > MOST_ASKING:
            del self._withdrawn[next(iter(self._withdrawn))]

    def _bury(self, thing: _Thing) -> None:
        for who in set(thing.rules.holders()):
            if not self._lives(who):
                thing.rules.bury(who)
                thing.wake()

    def _lives(self, who: Who) -> bool:
        """Whether a process lives, as far as is known; has it looked for on its node, if that was long ago."""
        node, pid, start, _ = who
        if node is None:
            return True
        if node == self._node:
            return started(pid) == start
        now = asyncio.get_running_loop().time()
        looked, lives = self._seen.get(who, (0.0, True))
        if lives and now > looked + LOOK_FAR_S:
            if len(self._seen) > MOST_ASKING:
                self._seen.clear()
            self._seen[who] = now, True
            look = asyncio.ensure_future(self._look_far(who))
            self._looks.add(look)
            look.add_done_callback(self._looks.discard)
        return lives

    async def _look_far(self, who: Who) -> None:
        """Ask its node. One that is going answers nothing for a while, until Ray gives it up."""
        node, pid, start, _ = who
        there = NodeAffinitySchedulingStrategy(str(node), soft=False)
        try:
            lives = await ray.remote(started).options(num_cpus=0, scheduling_strategy=there).remote(pid) == start
        except ray.exceptions.RayError:
            nodes: Any = ray.nodes()  # type: ignore[no-untyped-call]
            lives = any(known["NodeID"] == node and known["Alive"] for known in nodes)
        if not lives:
            self._seen[who] = 0.0, False
