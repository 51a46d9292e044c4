"""What the operating system says of processes: processor time, memory, what each thread does.

Read with psutil and, where there is a `/proc`, from its files for single threads, of which psutil tells no state. The
memory of a process (USS, PSS) costs the kernel a walk over its page tables, milliseconds for a large one. So a look
spends at most `MEMORY_BUDGET_S` on it, and goes on at the next where it stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import psutil

from procession._stat import STATE, STIME, UTIME, stat
from procession.monitor.rows import ProcessSample, ThreadSample

__all__ = ["Sampler"]

MEMORY_BUDGET_S = 0.01  # a look; a hundredth of a core at a frame a second
_TICK = os.sysconf("SC_CLK_TCK")
_LETTERS = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_ZOMBIE: "Z",
}


class Sampler:
    """Looks at processes again and again, and remembers whose memory it has not looked at for longest."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}
        self._looked_at: dict[int, float] = {}  # when at the memory, by pid; monotonic seconds

    def look(self, pids: Iterable[int]) -> dict[int, ProcessSample]:
        """A sample of each process that is there, by its number."""
        wanted = list(pids)
        self._processes = {pid: process for pid, process in self._processes.items() if pid in wanted}
        for pid in wanted:
            if pid not in self._processes or not self._is_same(pid):
                self._looked_at.pop(pid, None)
                try:
                    self._processes[pid] = psutil.Process(pid)
                except psutil.Error:
                    self._processes.pop(pid, None)
        memory = self._memory()
        samples = {}
        for pid, process in self._processes.items():
            try:
                samples[pid] = self._sample(process, *memory.get(pid, (None, None)))
            except psutil.Error:
                continue  # it ended meanwhile
        return samples

    def process(self, pid: int) -> psutil.Process | None:
        """The process of the last look, by which it can be told from another with the same number."""
        return self._processes.get(pid)

    def _is_same(self, pid: int) -> bool:
        try:
            return bool(self._processes[pid].is_running())
        except psutil.Error:
            return False

    def _memory(self) -> dict[int, tuple[int | None, int | None]]:
        """USS and PSS of as many as the budget allows, first of those that waited longest."""
        began = time.monotonic()
        found: dict[int, tuple[int | None, int | None]] = {}
        for pid in sorted(self._processes, key=lambda pid: self._looked_at.get(pid, 0.0)):
            try:
                memory = self._processes[pid].memory_full_info()
                found[pid] = memory.uss, getattr(memory, "pss", None)
            except psutil.Error:
                pass  # it ended, or we may not look: the columns stay unknown
            self._looked_at[pid] = now = time.monotonic()
            if now - began > MEMORY_BUDGET_S:
                break
        return found

    @staticmethod
    def _sample(process: psutil.Process, uss: int | None, pss: int | None) -> ProcessSample:
        with process.oneshot():
            times = process.cpu_times()
            state = _LETTERS.get(process.status(), "")
            rss = process.memory_info().rss if state != "Z" else None
        return ProcessSample(process.pid, times.user + times.system, state, rss, uss, pss, threads(process))


def threads(process: psutil.Process) -> dict[int, ThreadSample]:
    """Processor time and state of each thread, by its number."""
    folder = f"/proc/{process.pid}/task"
    try:
        numbers = os.listdir(folder)
    except OSError:
        return _threads_by_psutil(process)
    found = {}
    for number in numbers:
        try:
            fields = stat(f"{process.pid}/task/{number}")
        except OSError:
            continue  # it ended meanwhile
        found[int(number)] = ThreadSample((int(fields[UTIME]) + int(fields[STIME])) / _TICK, fields[STATE])
    return found


def _threads_by_psutil(process: psutil.Process) -> dict[int, ThreadSample]:
    """Where there is no /proc: processor time only."""
    try:
        return {each.id: ThreadSample(each.user_time + each.system_time, "") for each in process.threads()}
    except psutil.Error:
        return {}
