"""How many CPUs this process may really use.

`os.cpu_count` counts the machine's. A container usually gets less: an affinity mask (taskset, Kubernetes' static
policy) or a quota of CPU time from a control group (docker --cpus). Starting one worker per CPU of the machine under
such a quota makes all of them slow, so the smallest of the three counts."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["cpu_count"]


def cpu_count() -> int:
    """Number of CPUs this process can use at once, at least 1: affinity, cgroup v1 and v2 quota, and `-X cpu_count`."""
    return _cpu_count("/")


def _cpu_count(root: str) -> int:
    """The same with the file systems /proc and /sys found below `root`, so that tests can lay out their own."""
    counts = [_affinity()]
    counts.extend(_quotas(root))
    return max(1, min(counts))


def _affinity() -> int:
    count = getattr(os, "process_cpu_count", None)  # from Python 3.13: honours PYTHON_CPU_COUNT too
    if count is not None:
        return count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: str) -> Iterator[int]:
    """CPUs granted by each control group this process is in, and by the groups above them; a part counts as whole."""
    for line in (_read(root, "proc/self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            yield from _walk(root, "sys/fs/cgroup", path, _quota_v2)
        elif "cpu" in controllers.split(","):
            for mount in ("sys/fs/cgroup/cpu", f"sys/fs/cgroup/{controllers}"):
                yield from _walk(root, mount, path, _quota_v1)


def _walk(root: str, mount: str, path: str, read: Callable[[str, str], T | None]) -> Iterator[T]:
    """Ask the group and all above it: inside a container the path may not exist, but the mount point is the group."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        quota = read(root, "/".join([mount, *parts[:depth]]))
        if quota is not None:
            yield quota


def _quota_v2(root: str, group: str) -> int | None:
    fields = (_read(root, f"{group}/cpu.max") or "").split()
    return _ceil(*fields) if len(fields) == 2 else None


def _quota_v1(root: str, group: str) -> int | None:
    quota, period = _read(root, f"{group}/cpu.cfs_quota_us"), _read(root, f"{group}/cpu.cfs_period_us")
    return _ceil(quota, period) if quota and period else None


def _ceil(quota: str, period: str) -> int | None:
    """CPUs in a quota of microseconds per period, rounded up; None when unlimited ("max", -1) or unreadable."""
    try:
        quota_us, period_us = int(quota), int(period)
    except ValueError:
        return None
    return -(-quota_us // period_us) if quota_us > 0 and period_us > 0 else None


def _read(root: str, path: str) -> str | None:
    try:
        with open(os.path.join(root, path)) as file:
            return file.read()
    except OSError:
        return None
