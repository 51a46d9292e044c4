"""What becomes of the items of a task whose worker ended.

A chunk's items stand for themselves. Those that were answered in parts are not concerned; the one at which the worker
was fails, or is tried again as a task of its own; all others are done again. (Those before it were done, but not told:
at most what was done in the last millisecond.) If the worker was between two items nobody is to blame. If it was at
several at once, unpickling the chunk or pickling results, one of them is: each becomes a task of its own, and the one
that does it again is known then. The same where a chunk cannot be unpickled and nobody died. A task of one call, or of
a caller that keeps its own account, fails or is tried again as a whole.

`culprit` and `divide` are the rules: numbers in, parts out. `recover` and `take_apart` carry them out.
"""

from __future__ import annotations

from ..errors import WorkerDied
from .state import DIED, RAISED, SEVERAL

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any

    from .supervisor import Supervisor
else:
    from ._record import dataclass

__all__ = ["Part", "culprit", "divide", "has_more", "loss_of", "recover", "recover_lost", "take_apart"]


@dataclass(frozen=True)
class Part:
    """Items that go the same way."""

    index: int  # of the first
    items: int  # how many; 0: the task was a single call
    fails: bool = False  # else they are submitted again


def culprit(index: int, items: int, answered: int, at: int) -> int | None:
    """Which item a worker was at; None for none.

    Of its task `items` are left, from `index` on, `answered` of it are answered, and its worker was at item `at`, which
    may be SEVERAL.
    """
    if items == 0 or (items == 1 and at == SEVERAL + answered):
        return index
    place = at - answered
    return index + place if 0 <= place < items else None


def divide(index: int, items: int, blamed: int | None, tries_left: int, suspects: bool = False) -> list[Part]:
    """The parts of what is left of a task, the blamed item one of its own. `suspects`: each is, if none is blamed."""
    if items == 0:
        return [Part(index, 0, tries_left <= 0)]
    if blamed is None:
        step = 1 if suspects else items
        return [Part(first, step) for first in range(index, index + items, step)]
    after = blamed + 1
    parts = [Part(index, blamed - index), Part(blamed, 1, tries_left <= 0), Part(after, index + items - after)]
    return [part for part in parts if part.items]


class _Lost:
    """A task, and what is known of it."""

    def __init__(self, core: Supervisor, task: int, number: int) -> None:
        self.job, self.index, items, answered = core.dispatcher.owner(task)
        at = core.engine.item_of(number)
        suspects = at == SEVERAL + answered
        self.what = self.job.describe(self.index, items, 0 if suspects else at - answered)
        items = items if self.job._is_divisible else 0
        self.blamed = culprit(self.index, items, answered, at)
        tries = self.job._tries or {}
        self.left = self.job._limits.retries - tries.get(self.blamed, 0)
        self.parts = divide(self.index, items, self.blamed, self.left, suspects)

    def charge(self) -> None:
        """The blamed item had a try."""
        if self.blamed is not None:
            tries = self.job._tries = self.job._tries or {}
            tries[self.blamed] = tries.get(self.blamed, 0) + 1


def has_more(core: Supervisor, task: int, number: int) -> bool:
    """Whether something of a task that worker `number` took along is to be done again."""
    return any(not part.fails for part in _Lost(core, task, number).parts)


def recover(core: Supervisor, task: int, number: int, worker: Any) -> None:
    """Have done again what may be, and fail the rest. `worker` is the process that ended, with number `number`."""
    lost = _Lost(core, task, number)
    error = core.loss(number, worker, lost.what)
    if lost.job._tries and lost.left <= 0:
        error.add_note(f"it was tried {lost.job._limits.retries + 1} times, and ended with its worker each time")
    elif lost.job._is_divisible and not lost.job._limits.retries and type(error) is WorkerDied:
        error.add_note("it was not tried again: retries=1 does that")
    if not lost.job._is_divisible and lost.parts[0].fails:
        core.settle(task, error)
        return
    lost.charge()
    _replace(core, task, lost.job, lost.parts, DIED, error)


def recover_lost(core: Supervisor, task: int, died: WorkerDied) -> None:
    """The same where workers are a cluster's, which gave the task up. May be called again for the same task."""
    if core.dispatcher.owner(task) is not None:
        recover(core, task, 0, died)


def take_apart(core: Supervisor, task: int, told: Any) -> None:
    """A chunk could not be unpickled: its items are done again, each by itself. An item alone fails with what was told.

    May be called again for the same task.
    """
    owner = core.dispatcher.owner(task)
    if owner is not None:  # nobody gave it up
        job, index, items, _ = owner
        parts = divide(index, items, index if items == 1 else None, 0, suspects=True)
        _replace(core, task, job, parts, RAISED, told)


def _replace(core: Supervisor, task: int, job: Any, parts: list[Part], status: int, told: Any) -> None:
    """Put parts in the place of a task. Those that fail do so with this status and what was told."""
    for part in parts:
        outcome = (status, told) if part.fails else _again(core, job, part)
        if outcome is not None:
            job.expect(1)
            job.arrive(part.index, part.items, *outcome, 0)
    finished = core.dispatcher.retire(task)
    if finished is not None:
        core.heed([finished])


def _again(core: Supervisor, job: Any, part: Part) -> tuple[int, Exception] | None:
    """Submit a part of a job again. Returns how it ends if that cannot be: no room, or it cannot be pickled now."""
    try:
        job.again(core, part.index, part.items)
    except Exception as error:
        return DIED, error
    return None


def loss_of(worker: Any, what: str) -> BaseException:
    """The error for what a dead worker took along. Where it is a cluster's, `worker` is what that says of it."""
    if isinstance(worker, WorkerDied):
        error = WorkerDied(f"{worker} (while working on {what})", name=worker.name, item=what)
        error.__cause__ = worker
        return error
    return WorkerDied.of(worker.name, worker.pid, worker.exitcode, item=what)
