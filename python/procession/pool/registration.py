"""What a pool tells of itself to those who look on from outside: where its state is, and what nobody else knows.

It is a block of words in the shared arena. Of a pool of processes everything that changes with a task stands in its
rings and in its workers' cells anyway, and this says where those are; so no task pays for being seen, but for three
stores of a worker to lines of its own. A pool of threads has its state in Python: its parent counts here, a batch of
answers at a time.

`_registry.pools` reads it.
"""

from __future__ import annotations

from .. import _native
from .._store import INSIDE, POOL, Shared
from .state import CELLS

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from typing import Any

    from .engine import ProcessEngine

__all__ = ["Registration"]

# Its words: offsets of the ring of tasks and of the workers' cells (0, 0: threads); how many workers, how many cells
# each has; labels of the function and the start method; of threads, the tasks submitted, done and failed; how many
# a map has yet to submit. Then the workers' pids; 0 where there is none.
TASKS, CLAIMS, SIZE, WIDTH, TITLE, METHOD, SUBMITTED, DONE, FAILED, LATER, WORKERS = range(11)


class Registration(_native.Claim, Shared):
    """One pool's. Lives as long as the pool's engine in the process that made it."""

    __slots__ = ()

    @classmethod
    def _make(cls, arena: _native.Arena, size: int, method: str) -> Registration:
        self = cls(arena, WORKERS + size)
        _native.serve_as(self, POOL)
        self[SIZE], self[WIDTH], self[METHOD] = size, CELLS, arena.label(str(method))
        return self

    @classmethod
    def of_processes(cls, arena: _native.Arena, engine: ProcessEngine, size: int) -> Registration:
        """Of a pool of processes, whose parts from now on are seen as such."""
        self = cls._make(arena, size, engine.method)
        for part in (engine.tasks, engine.answers, engine.claims, *engine.marks.parts()):
            self.take_in(part)
        self[TASKS], self[CLAIMS] = engine.tasks.address[0], engine.claims.address[0]
        engine.functions.registration = self
        return self

    @classmethod
    def of_threads(cls, arena: _native.Arena, size: int, method: str = "thread") -> Registration:
        """Of a pool of threads, or of workers that are not this program's."""
        return cls._make(arena, size, method)

    def take_in(self, part: Any) -> None:
        """A shared object is part of the pool."""
        _native.serve_as(part, INSIDE, self.address[0])

    def enter(self, number: int, pid: int) -> None:
        """Worker `number` is this process; 0: it has ended."""
        self[WORKERS + number] = pid

    def entitle(self, function: Any) -> None:
        """The pool calls this function now. Those of ours are only about others."""
        if not (getattr(function, "__module__", None) or "").startswith("procession."):
            self[TITLE] = self.arena.label(getattr(function, "__qualname__", None) or type(function).__qualname__)

    def expect(self, later: int) -> None:
        """A map will submit about so many tasks more. Of several maps at once, the last one's say."""
        self[LATER] = later

    def count(self, submitted: int, done: int, failed: int) -> None:
        """Of a pool of threads: how far it is."""
        self[SUBMITTED], self[DONE], self[FAILED] = submitted, done, failed
