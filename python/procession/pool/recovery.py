"""What becomes of the items of a task whose worker ended.

A chunk's items stand for themselves. Those that were answered in parts are not concerned; the one at which the worker
was fails, or is tried again as a task of its own; all others are done again. (Those before it were done, but not told:
at most what was done in the last millisecond.) If the worker was between two items nobody is to blame. A task of one
call, or of a caller that keeps its own account, fails or is tried again as a whole.

`culprit` and `divide` are the rules: numbers in, parts out. `recover` carries them out.
"""

from __future__ import annotations

from .state import DIED

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Any

    from .supervisor import Supervisor
else:
    from ._record import dataclass

__all__ = ["Part", "culprit", "divide", "has_more", "recover"]


@dataclass(frozen=True)
class Part:
    """Items that go the same way."""

    index: int  # of the first
    items: int  # how many; 0: the task was a single call
    fails: bool = False  # else they are submitted again


def culprit(index: int, items: int, answered: int, at: int) -> int | None:
    """Which item a worker was at; None for none.

    Of its task `items` are left, from `index` on, `answered` of it are answered, and its worker was at item `at`.
    """
    if items == 0:
        return index
    place = at - answered
    return index + place if 0 <= place < items else None


def divide(index: int, items: int, blamed: int | None, tries_left: int) -> list[Part]:
    """The parts of what is left of a task, the blamed item one of its own."""
    if items == 0:
        return [Part(index, 0, tries_left <= 0)]
    if blamed is None:
        return [Part(index, items)]
    after = blamed + 1
    parts = [Part(index, blamed - index), Part(blamed, 1, tries_left <= 0), Part(after, index + items - after)]
    return [part for part in parts if part.items]


class _Lost:
    """A task, and what is known of it."""

    def __init__(self, core: Supervisor, task: int, number: int) -> None:
        self.job, self.index, items, answered = core.dispatcher.owner(task)
        at = core.engine.item_of(number)
        self.what = self.job.describe(self.index, items, at - answered)
        self.blamed = culprit(self.index, items if self.job._is_divisible else 0, answered, at)
        tries = self.job._tries or {}
        self.left = self.job._limits.retries - tries.get(self.blamed, 0)
        self.parts = divide(self.index, items if self.job._is_divisible else 0, self.blamed, self.left)

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
    if not lost.job._is_divisible and lost.parts[0].fails:
        core.settle(task, error)
        return
    lost.charge()
    for part in lost.parts:
        reason = error if part.fails else _again(core, lost.job, part)
        if reason is not None:
            lost.job.expect(1)
            lost.job.arrive(part.index, part.items, DIED, reason, 0)
    finished = core.dispatcher.retire(task)
    if finished is not None:
        core.heed([finished])


def _again(core: Supervisor, job: Any, part: Part) -> Exception | None:
    """Submit a part of a job again. Returns why that cannot be: no room, or what was changed cannot be pickled now."""
    try:
        job.again(core, part.index, part.items)
    except Exception as error:
        return error
    return None
