"""The end of a process or a thread."""

from __future__ import annotations

import select

from .line import Line, NotYet, in_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["process_result", "process_wait"]


class _End(Line):
    period_s = None  # the kernel tells of every end

    def descriptor(self) -> int:
        """The sentinel. One that is readable before the end is complete (a thread's, or a pipe's) would only spin.

        So would our duplicate of one that has become another: that of a child whose fork server died.
        """
        fd = int(self.thing.sentinel)
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return -1 if poller.poll(0) or getattr(getattr(self.thing, "_popen", None), "is_orphan", False) else fd

    def deserted(self) -> None:
        self.stop()


async def process_wait(process: Any, timeout: float | None) -> int | None:
    """The exit code of a process or thread, None if it still runs after `timeout` seconds. Raises: as `join`."""

    def attempt() -> Any:
        process.join(0)
        if process.exitcode is None or process.is_alive():
            raise NotYet
        return process.exitcode

    try:
        code: int | None = await in_line(_End, process, attempt, NotYet, timeout)
    except NotYet:
        return None
    return code


async def process_result(process: Any, timeout: float | None) -> Any:
    """What a process or thread returned. Raises: as `result`."""
    if await process_wait(process, timeout) is None:
        from ..errors import TimeoutError

        raise TimeoutError(f"{process.name} (pid {process.pid}) has given no result within {timeout} seconds")
    return process.result()
