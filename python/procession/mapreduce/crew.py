"""The workers of one run: started so that an interrupt belongs to the parent, and gone when the run ends.

A terminal sends Ctrl-C to every process of the group. Workers are started with it held back and then ignore it, so
that not each of them prints a traceback; the parent ends them.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

__all__ = ["checked_workers", "cluster_of", "crew"]


def cluster_of(context: Any) -> Any:
    """The cluster whose workers a context has work done by; None if it starts its own."""
    return getattr(context, "cluster", None)


def checked_workers(workers: int | None, context: Any) -> int:
    """How many workers: as many as CPUs may be used, if not told. Raises ValueError below 1."""
    if workers is not None and workers < 1:
        raise ValueError(f"a run needs at least 1 worker, not {workers}")
    return workers or int(context.cpu_count())


@contextlib.contextmanager
def crew(context: Any, workers: int, *, quiet: bool = False, **limits: Any) -> Iterator[Any]:
    """A pool of so many workers. Left without an error, its workers end by themselves; else they are ended at once.

    `quiet`: what a worker process prints goes to standard error, because standard output carries the answer. `limits`
    are those of a `Pool`. The workers of a cluster are somebody else's: neither is changed there.
    """
    if cluster_of(context) is not None:
        with context.Pool(workers, **limits) as pool:
            yield pool
        return
    pool = None
    try:
        with interrupts_held():  # inside the try: one that was held back is raised here, with the workers running
            pool = context.Pool(workers, initializer=begin, initargs=(os.getpid(), quiet), **limits)
        yield pool
        pool.close()
    except BaseException:
        if pool is not None:
            pool.terminate()
        raise
    finally:
        if pool is not None:
            pool.join()


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Blocks SIGINT meanwhile, in this thread and for good in every process started here; one that arrives is not lost
    but raised at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin(parent: int, quiet: bool) -> None:
    """The first thing a worker does. One that is a thread of the parent is left as it is."""
    if os.getpid() == parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if quiet:
        os.dup2(2, 1)
