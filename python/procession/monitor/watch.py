"""Looking: the registry's view and the operating system's together, of one program or of all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from procession import _registry
from procession.errors import NoSuchProgram
from procession.monitor.model import Look
from procession.monitor.sample import Sampler

if TYPE_CHECKING:
    from procession._registry import Program

__all__ = ["Watch"]


class Watch:
    """What is watched: one program, named by the number of any process of it, or (None) all of this user.

    Not for several threads at once. `close` gives back what is kept open.
    """

    def __init__(self, pid: int | None = None) -> None:
        """Raises: NoSuchProgram if the number is of no program that can be watched, and says why."""
        self.pid = pid
        self.sampler: Sampler = Sampler()
        self._registry = _registry.Watch()
        self._program = self._registry.program(pid) if pid is not None else None

    def close(self) -> None:
        """Watch no more. Idempotent."""
        self._registry.close()

    def look(self) -> Look:
        """What there is at this moment; a program that has ended is missing in it. May take milliseconds."""
        programs = self._programs()
        pids = [process.pid for program in programs for process in program.processes if process.alive]
        samples = self.sampler.look(pids)
        return Look(time.time(), tuple(programs), samples)

    def _programs(self) -> list[Program]:
        if self._program is None:
            return self._registry.programs()
        # Any member will do: the first process may have died while others hang.
        members = [self._program.pid, *(each.pid for each in self._program.processes if each.alive)]
        for pid in dict.fromkeys(members):
            try:
                found = self._registry.program(pid)
            except NoSuchProgram:
                continue
            if found.token == self._program.token:  # the number may be another program's by now
                self._program = found
                return [found]
        return []
