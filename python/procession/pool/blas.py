"""Threads of numeric libraries in workers: each worker gets its share of the CPUs.

OpenBLAS, MKL and OpenMP start a thread for each CPU in every process that uses them. With as many workers as CPUs that
is their square, and they wait for one another. So a worker may use the CPUs divided by the number of workers:

* what is loaded later reads environment variables, which the worker sets;
* what is loaded already (numpy before a fork) is told through threadpoolctl, where that is installed. It is looked for
  only when one of the libraries below is loaded, so workers without numbers pay nothing. A forked OpenBLAS is told by
  its variables instead, which starts none of its threads.

Whoever set one of the variables, to whatever, decides alone. PROCESSION_WORKER_THREADS=0 turns all of this off, another
number takes the place of the share.
"""

from __future__ import annotations

import os
import sys

from .._cpu import cpu_count
from .._variables import parsed

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["limit_threads", "survey", "threads_each", "variables"]

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# Whether its threads run, how many a call uses, and how many there are once they run. So named since GotoBLAS2 (2010)
_OPENBLAS = ("blas_server_avail", "blas_cpu_number", "blas_num_threads")
_USERS = ("numpy", "scipy", "torch", "sklearn", "numexpr", "faiss")  # a library with threads came with one of these


_cpus = 0  # there are; asked once, as finding out costs a tenth of a pool's start


def threads_each(workers: int, cpus: int | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Threads that each of so many workers should use; 0 to leave that alone. Raises: ValueError for the setting."""
    global _cpus
    wanted = parsed("PROCESSION_WORKER_THREADS", _count, "a number, 0 for no limit", environment)
    if wanted is not None:
        return wanted
    if any(environment.get(name) for name in _VARIABLES):
        return 0
    _cpus = _cpus or cpu_count()
    return max(1, (cpus or _cpus) // workers)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def variables(threads: int) -> dict[str, str]:
    """What a process that is to use so many threads has in its environment."""
    return dict.fromkeys(_VARIABLES, str(threads))


def limit_threads(threads: int, *, forked: bool) -> None:
    """In a worker: let numeric libraries, loaded or not yet, use no more than so many threads."""
    for name, value in variables(threads).items():
        if not os.environ.get(name):
            os.environ[name] = value
    for library in _surveyed if forked and _surveyed is not None else loaded_libraries():
        # GNU's OpenMP waits for ever for the threads that its process had before it was forked
        most = 1 if forked and library.user_api == "openmp" else threads
        if (library.get_num_threads() or 0) > most and not (forked and _write_threads(library, most)):
            library.set_num_threads(most)


def _write_threads(library: Any, threads: int) -> bool:
    """Tell a forked OpenBLAS by its own variables; False where that cannot be done.

    It ended its threads for the fork, and starts them anew when it first needs one; `set_num_threads` starts all of
    them before it does anything else, one for each CPU, only to leave them idle.
    """
    if (library.internal_api, getattr(library, "threading_layer", "")) != ("openblas", "pthreads"):
        return False
    import ctypes  # loaded by threadpoolctl in any case

    try:
        running, used, made = (ctypes.c_int.in_dll(library.dynlib, name) for name in _OPENBLAS)
    except ValueError:  # this build exports no such variables
        return False
    if running.value:
        return False
    used.value = made.value = threads
    return bool(library.get_num_threads() == threads)


def loaded_libraries() -> list[Any]:
    """threadpoolctl's handles on the numeric libraries in this process; none where it is not installed."""
    if not any(name in sys.modules for name in _USERS):
        return []
    try:
        import threadpoolctl  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return []
    return list(threadpoolctl.ThreadpoolController().lib_controllers)


_surveyed: list[Any] | None = None


def survey() -> None:
    """In the parent, before a fork: look for the libraries once, for all workers."""
    global _surveyed
    _surveyed = loaded_libraries()
