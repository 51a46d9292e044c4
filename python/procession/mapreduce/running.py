"""Running a job over divided input: on a pool, or in this process alone.

The pieces lie in a shared queue, largest first, and each worker is given one task: take pieces until none is left, and
fold each into one partial answer of its own. So work is balanced without the parent's help, and exactly one partial
answer per worker travels back, however many pieces there were: with one per piece, the parent's unpickling and joining
takes longer than the map itself. The parent meanwhile only reads how many bytes are done, from a shared number.

An interrupt (Ctrl-C) belongs to the parent: workers are started with it held back, so that a terminal, which sends it
to every process, does not make each of them print a traceback.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from procession.errors import Empty, ShutDown
from procession.mapreduce.jobs import Job, JobSource, Text, blamed
from procession.mapreduce.plan import Piece, Plan, divide
from procession.mapreduce.reading import read_text

__all__ = ["Answer", "run", "run_here"]

POLL_SECONDS = 0.1  # how often progress is reported; arbitrary; not measured

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True)
class Answer:
    """What a run found, and what it took."""

    total: Any  # the job's answer, before `finish`
    job: Job[Any]
    files: int
    binary_files: int  # met in directories, and left out
    size_bytes: int
    pieces: int
    workers: int
    seconds: float  # from the call until the answer was in the caller's hands
    gather_seconds: float  # the part of it after the last byte was folded in: answers travelling and being joined


@dataclass
class Folding:
    """A partial answer in the making: adds pieces to it one after another."""

    source: JobSource
    encoding: str
    errors: str
    has_total: bool = field(default=False, init=False)
    total: Any = field(default=None, init=False)

    def add(self, piece: Piece, on_bytes: Callable[[int], object] | None = None) -> None:
        """Reads a piece and folds it in. Raises JobFailed, or what `read_text` raises."""
        job = self.source.load()
        fold = getattr(job, "fold", None)
        for span in piece:
            text = read_text(span, self.encoding, self.errors)
            with blamed(self.source.name, span.place):
                if not self.has_total:
                    self.total, self.has_total = job.map(text), True
                elif fold is not None:
                    self.total = fold(self.total, text)
                else:
                    self.total = job.reduce(self.total, job.map(text))
        if on_bytes is not None:
            on_bytes(sum(span.length for span in piece))

    def join(self, total: Any) -> None:
        """Reduces another partial answer into this one. Raises JobFailed."""
        with blamed(self.source.name):
            self.total = self.source.load().reduce(self.total, total) if self.has_total else total
        self.has_total = True

    def finish(self) -> Any:
        """The answer so far; that of the empty text if there was no piece at all."""
        if not self.has_total:
            with blamed(self.source.name):
                self.total = self.source.load().map(Text(""))
        return self.total


@dataclass
class Share:
    """One worker's part of a run, as it travels to the worker. Calling it does the work and returns `(total,)`, or
    `()` if no piece was left for it. A worker that dies takes its share with it: the run fails, naming the worker."""

    source: JobSource
    encoding: str
    errors: str
    pieces: Any  # a shared queue of Piece
    done_bytes: Any  # a shared number

    def __call__(self, index: int) -> tuple[Any, ...]:
        folding = Folding(self.source, self.encoding, self.errors)
        while True:
            try:
                piece = self.pieces.get(block=False)
            except (Empty, ShutDown):
                return (folding.total,) if folding.has_total else ()
            folding.add(piece, self.done_bytes.add)


def run(
    job: str | Job[Any],
    inputs: Sequence[str],
    *,
    context: Any,
    workers: int | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
) -> Answer:
    """Runs a job over the inputs on a pool of `workers` (as many as there are CPUs, if not given) of the context.

    Blocks until the answer is there; meanwhile `progress(bytes done, bytes in all)` is called ten times a second in
    this thread. Whatever ends the call early (an error in a worker, the death of one, an interrupt) ends the workers
    too before it is raised.

    Raises ValueError if `workers` is below 1, JobError or InputError (see `errors`) for what is wrong with either, and
    WorkerDied.
    """
    started = time.perf_counter()
    if workers is not None and workers < 1:
        raise ValueError(f"a run needs at least 1 worker, not {workers}")
    workers = workers or context.cpu_count()
    source = JobSource.of(job)
    with divide(inputs, workers=workers, encoding=encoding) as plan:
        crew = max(1, min(workers, len(plan.pieces)))
        total, mapped = gather(source, plan, context, crew, (encoding, errors), progress)
        return answer(source, plan, total, crew, started, mapped)


def run_here(
    job: str | Job[Any],
    inputs: Sequence[str],
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    progress: Progress | None = None,
) -> Answer:
    """The same answer as `run`, made in this process and thread alone: what a run is compared with."""
    started = time.perf_counter()
    source = JobSource.of(job)
    done_bytes = 0
    with divide(inputs, encoding=encoding) as plan:
        folding = Folding(source, encoding, errors)
        for piece in plan.pieces:
            folding.add(piece)
            done_bytes += sum(span.length for span in piece)
            if progress is not None:
                progress(done_bytes, plan.size_bytes)
        return answer(source, plan, folding.finish(), 1, started, time.perf_counter())


def answer(source: JobSource, plan: Plan, total: Any, workers: int, started: float, mapped: float) -> Answer:
    ended = time.perf_counter()
    return Answer(
        total=total,
        job=source.load(),
        files=plan.files,
        binary_files=plan.binary_files,
        size_bytes=plan.size_bytes,
        pieces=len(plan.pieces),
        workers=workers,
        seconds=ended - started,
        gather_seconds=ended - mapped,
    )


def gather(
    source: JobSource, plan: Plan, context: Any, workers: int, text_as: tuple[str, str], progress: Progress | None
) -> tuple[Any, float]:
    """Hands the plan's pieces to the workers of a new pool and joins what they return; also says when all bytes were
    done, to a tenth of a second."""
    folding = Folding(source, *text_as)
    mapped: list[float] = []

    def report(done: int, size: int) -> None:
        if done >= size and not mapped:
            mapped.append(time.perf_counter())
        if progress is not None:
            progress(done, size)

    if not plan.pieces:
        return folding.finish(), time.perf_counter()
    pieces = context.Queue()
    done_bytes = context.Value("q", 0)
    pieces.put_many(plan.pieces)
    share = Share(source, *text_as, pieces, done_bytes)
    pool = None
    try:
        with interrupts_held():  # inside the try: one that was held back is raised here, with the workers running
            pool = context.Pool(workers, initializer=leave_interrupts_to_parent, initargs=(os.getpid(),))
        answers = pool.imap_unordered(share, range(workers), chunksize=1)
        for part in polled(answers, done_bytes, plan.size_bytes, report):
            if part:
                folding.join(part[0])
        pool.close()
    except BaseException:
        pieces.shutdown(immediate=True)  # a worker that cannot be killed (a thread) stops at its next piece
        if pool is not None:
            pool.terminate()
        raise
    finally:
        if pool is not None:
            pool.join()
    return folding.finish(), (mapped or [time.perf_counter()])[0]


def polled(answers: Any, done_bytes: Any, size_bytes: int, report: Progress) -> Iterator[tuple[Any, ...]]:
    """The answers as they come, with progress reported while none does."""
    while True:
        try:
            yield answers.next(timeout=POLL_SECONDS)
        except StopIteration:
            return
        except multiprocessing.TimeoutError:
            pass
        report(done_bytes.value, size_bytes)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Blocks SIGINT meanwhile, in this thread and for good in every process started here; one that arrives is not lost
    but raised at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_interrupts_to_parent(parent: int) -> None:
    """Makes a worker process ignore SIGINT, its descendants included; a worker thread is left as it is."""
    if os.getpid() != parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
