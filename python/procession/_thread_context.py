"""The context 'thread': it runs threads, and what it makes is in this process's own memory.

Nothing of that can leave the process (`NotShared`). What a context has besides is every context's (`context`).
"""

from __future__ import annotations

import threading

from . import _standard, process

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from . import _native
    from ._output import ForwardOutput
    from .managers import SyncManager

__all__ = ["ThreadProcess", "Threads", "current_process"]


def current_process() -> Any:
    """The thread of ours that this is, else this process."""
    current = threading.current_thread()
    return current if isinstance(current, process.Thread) else process.current_process()


class ThreadProcess(process.ThreadProcess):
    """What the context 'thread' calls a Process."""

    def __init__(self, *args: Any, forward_output: ForwardOutput = None, **options: Any) -> None:
        """As that of other contexts. Raises: NotSupported for a function as `forward_output`; True changes nothing."""
        if forward_output is not None:
            from ._output import wanted

            wanted(forward_output, "thread")
        super().__init__(*args, **options)

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        """Run an object of a class that asks for a process of the method in use."""
        from ._engines.thread import Popen

        return Popen(process_obj)


class Threads:
    """The part of the thread context that is not every context's."""

    Process: ClassVar[Any] = ThreadProcess
    get_context: Any  # of the context that this is part of

    def current_process(self) -> Any:
        """The thread of ours that calls this, else this process."""
        return current_process()

    @staticmethod
    def parent_process() -> None:
        """None: threads have no parent process."""

    def active_children(self) -> list[Any]:
        """The threads started here (`Thread`, `Process` of this context) that still run."""
        return list(process.active_threads())

    def _arena(self) -> _native.Arena:
        from ._store import private_arena

        return private_arena()

    def _queue(self, maxsize: int, max_bytes: int) -> Any:
        """A `queue.Queue` with the methods of a process queue; `max_bytes` has no meaning for objects in memory."""
        from .queues import ThreadQueue

        return ThreadQueue(maxsize)

    def _joinable_queue(self, maxsize: int, max_bytes: int, max_deliveries: int) -> Any:
        """The same with `task_done` and `join`; among threads no consumer dies alone, so nothing is delivered again."""
        from .queues import ThreadJoinableQueue

        return ThreadJoinableQueue(maxsize)

    def SimpleQueue(self) -> Any:
        """An unbounded queue with `put`, `get` and `empty`, of the objects themselves."""
        from .queues import ThreadSimpleQueue

        return ThreadSimpleQueue()

    def Manager(self) -> SyncManager:
        """A manager in a process of its own; there is no other kind."""
        manager: SyncManager = self.get_context(_standard.start_method()).Manager()
        return manager
