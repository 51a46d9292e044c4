"""All workloads, by name."""

from __future__ import annotations

from benchmarks.model import Workload
from benchmarks.workloads import arrays, latency, pool, programs, queue, shared

_MODULES = (queue, latency, shared, pool, arrays, programs)

ALL: dict[str, Workload] = {workload.name: workload for module in _MODULES for workload in module.WORKLOADS}


def chosen(only: list[str], quick: bool) -> list[Workload]:
    """Workloads named in `only`, or whose name starts with one of them; all if it is empty. A quick run leaves out the
    slow ones unless they are named.

    Raises ValueError for a word that fits none.
    """
    if not only:
        return [workload for workload in ALL.values() if not (quick and workload.slow)]
    names = {name for word in only for name in _named(word)}
    return [workload for name, workload in ALL.items() if name in names]


def _named(word: str) -> list[str]:
    if word in ALL:
        return [word]
    names = [name for name in ALL if name.startswith(word)]
    if not names:
        raise ValueError(f"no workload starts with {word!r}; --list shows them")
    return names
