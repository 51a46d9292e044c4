"""Running a job over divided input: on a pool, or in this process alone.

A job by key is one call of `map_reduce_by_key`; any other is run by `gathering`.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from procession.errors import JobError, RemoteTraceback
from procession.mapreduce.crew import checked_workers, cluster_of, crew
from procession.mapreduce.errors import InputNotText, JobFailed
from procession.mapreduce.gathering import Gathering, Progress, gather_afar
from procession.mapreduce.inputs import Files
from procession.mapreduce.jobs import Job, JobSource, blamed, is_keyed, reducer_for
from procession.mapreduce.kept import KeptPieces
from procession.mapreduce.loading import describe, of_user
from procession.mapreduce.plan import Plan
from procession.mapreduce.usage import Usage
from procession.pool.board import KeyedProgress
from procession.pool.inherited import default_context
from procession.pool.keyed import map_reduce_by_key
from procession.progress.runs import keyed_reporter

__all__ = ["Answer", "files_for", "run"]


@dataclass(frozen=True)
class Answer:
    """What a run found, and what it took."""

    total: Any  # the job's answer, before `finish`; of a job by key a mapping
    job: Job[Any]
    files: int
    binary_files: int  # met in directories, and left out
    size_bytes: int
    pieces: int
    workers: int
    seconds: float  # from the call until the answer was in the caller's hands
    gather_seconds: float  # the part of it after the last byte was mapped: answers travelling and being joined
    cpu_seconds: float = 0.0  # of the parent and the workers
    peak_bytes: int = 0  # the most memory that they were seen to hold together, shared pages once; see `usage`
    moved_bytes: int = 0  # written by the workers for each other: sorted runs; 0 for jobs that are not by key
    spilled_bytes: int = 0  # the part of it that went to disk
    resumed: int = 0  # pieces that a checkpoint had
    cluster: str = ""  # whose workers they were; CPU time and memory of those are not known then


def files_for(
    job: Any, inputs: Sequence[str], encoding: str, errors: str, *, unpack: bool = True, plain: bool = False
) -> Files:
    """The input, taken as the job wants it; with `plain` always decoded, for `plain` and for one process.

    Raises LookupError for an encoding that there is not.
    """
    takes: str = getattr(job, "takes", "text")
    utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8", "u8")
    if takes.endswith("bytes") and (plain or not utf8) and getattr(job, "utf8", False):
        takes = "csv" if takes.startswith("csv") else "text"
    return Files(*inputs, takes=takes, encoding=encoding, errors=errors, unpack=unpack)


def run(
    job: str | Job[Any],
    inputs: Sequence[str],
    *,
    context: Any = None,
    arguments: Mapping[str, Any] | None = None,
    workers: int | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    unpack: bool = True,
    memory_budget: int | None = None,
    spill_dir: str | None = None,
    retries: int = 1,
    checkpoint: Any = None,
    progress: Any = None,
    quiet: bool = False,
) -> Answer:
    """Runs a job over the inputs on a pool of `workers` (as many as there are CPUs, if not given) of the context: if
    none is given, of the one behind the package's own names.

    On a cluster's context the workers are as many as it has, they read the files themselves (see `afar`), a job of
    one's own travels to them, and there is no checkpoint.

    `arguments` make the job, if it is given by name. `unpack=False` takes compressed files as they are (in directories
    they are then left out). `memory_budget` (bytes) and `spill_dir` are for jobs by key: see `Pool.map_reduce_by_key`.
    `quiet`: what the job prints in worker processes goes to standard error.

    When a worker dies, what it had not returned is done again; a piece may end `retries` workers before the run fails.
    `checkpoint`, a path or a `Checkpoint`, keeps what workers returned, every `interval` seconds; after a death of
    everything the same call goes on from there. Jobs by key have files beside it, `PATH.runs-*`.

    Blocks until the answer is there; meanwhile `progress`, a function, is called ten times a second in this thread;
    True, a title and tqdm show a bar, as everywhere (docs/guides/progress.md). Whatever ends the call early (an error
    in a worker, the death of one, an interrupt) ends the workers too before it is raised.

    Raises ValueError if `workers` is below 1, JobError or InputError (see `errors`) for what is wrong with either,
    WorkerDied, and CheckpointError.
    """
    started = time.perf_counter()
    context = default_context() if context is None else context
    workers = checked_workers(workers, context)
    source = JobSource.of(job, arguments)
    loaded = source.load()
    usage = Usage()
    files = files_for(loaded, inputs, encoding, errors, unpack=unpack)
    with contextlib.ExitStack() as stack:
        if progress is not None:
            progress = stack.enter_context(keyed_reporter(progress, source.name))
        kept = None
        if checkpoint is not None:
            kept = stack.enter_context(KeptPieces(checkpoint, source, files, inputs, workers))
        plan = stack.enter_context(files.divide(workers if kept is None else kept.divided_for))
        if kept is not None:
            kept.compare(plan)
        size = max(1, min(workers, len(plan.pieces)))
        with crew(context, size, quiet=quiet) as pool:

            def report(now: KeyedProgress) -> None:
                usage.look(pids_of(pool))
                if progress is not None:
                    progress(now)

            report(KeyedProgress("map", 0, None, 0, plan.size_bytes, 0.0, ()))
            cluster = cluster_of(context)
            if cluster is not None and not cluster.has_main:
                source = JobSource(source.name, given=loaded)  # by value, for its module need not be there
            if is_keyed(loaded):
                limits = memory_budget, spill_dir, retries
                answer = by_key(pool, source, files, plan, limits, kept, report)
            elif cluster is not None:
                answer = gather_afar(pool, source, files, plan, size, report)
            else:
                gathering = Gathering(
                    pool, context, source, files, plan, size, retries=retries, kept=kept, report=report
                )
                answer = gathering.run()
            seconds = time.perf_counter() - started
            usage.look(pids_of(pool), now=True)
    return Answer(
        job=loaded,
        files=plan.files,
        binary_files=plan.binary_files,
        size_bytes=plan.size_bytes,
        pieces=len(plan.pieces),
        workers=size,
        seconds=seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_bytes=usage.peak_bytes,
        resumed=0 if kept is None else kept.resumed,
        cluster="" if cluster is None else cluster.name,
        **answer,
    )


def pids_of(pool: Any) -> list[int]:
    """The processes of a pool's workers."""
    return [worker.pid for worker in pool._pool if worker.pid is not None]


# Jobs by key


class JobMap:
    """The map function of a job by key, as it travels to the workers."""

    def __init__(self, source: JobSource, errors: str) -> None:
        self.source: JobSource = source
        self.errors: str = errors
        self.__qualname__ = f"{source.name}.map"  # how messages call it

    def __call__(self, text: Any) -> Any:
        """What the job gives for a text. Raises JobFailed."""
        job = self.source.load()
        if hasattr(job, "errors"):
            job.errors = self.errors
        with blamed(self.source.name, str(text.place)):
            produced = job.map(text)
        return self.guarded(produced, text) if isinstance(produced, Iterator) else produced

    def guarded(self, produced: Iterator[Any], text: Any) -> Iterator[Any]:
        """What a generator gives; it fails while it is taken from, and then the place is still known."""
        with blamed(self.source.name, str(text.place)):
            yield from produced


class JobMethod:
    """A method of a job, as it travels to the workers."""

    def __init__(self, source: JobSource, name: str) -> None:
        self.source: JobSource = source
        self.name: str = name
        self.__qualname__ = f"{source.name}.{name}"

    def __call__(self, *values: Any) -> Any:
        return getattr(self.source.load(), self.name)(*values)


class Planned:
    """An input that was divided already; what it was divided into stays the caller's."""

    def __init__(self, files: Files, plan: Plan) -> None:
        self.files: Files = files
        self.plan: Plan = plan

    def divide(self, workers: int = 1) -> contextlib.AbstractContextManager[Plan]:
        """The plan, for any number of workers."""
        return contextlib.nullcontext(self.plan)

    def read(self, piece: Any) -> Iterator[Any]:
        """See `Files.read`."""
        return self.files.read(piece)

    def afar(self, plan: Plan) -> tuple[list[Any], Any]:
        """See `Files.afar`."""
        return self.files.afar(plan)

    def __reduce__(self) -> tuple[Any, ...]:
        return Planned, (self.files, None)


def by_key(
    pool: Any,
    source: JobSource,
    files: Files,
    plan: Plan,
    limits: tuple[int | None, str | None, int],
    kept: KeptPieces | None,
    report: Progress,
) -> dict[str, Any]:
    """The answer of a job by key and what it took, as fields of `Answer`. Raises JobFailed, InputError, WorkerDied."""
    reducer = reducer_for(source.load())
    reduce: Any = JobMethod(source, "reduce") if reducer.reduce is not None else reducer
    combine = JobMethod(source, "combine") if reducer.combine is not None else None
    items = Planned(files, plan)
    began = time.perf_counter()
    try:
        total = map_reduce_by_key(
            pool._core,
            JobMap(source, files.form.errors),
            items,
            None if combine is not None else reduce,
            combine,
            None,
            *limits,
            report,
            kept,
        )
    except (JobError, OSError):
        raise
    except Exception as error:
        if not came_from_worker(error):
            raise
        with contextlib.suppress(NotImplementedError):
            find_culprit(source, files, plan)
        raise failed(source, error) from error
    took = total.statistics
    return {
        "total": total,
        "gather_seconds": max(0.0, time.perf_counter() - began - took.map_seconds),
        "moved_bytes": took.run_bytes,
        "spilled_bytes": took.spilled_bytes,
    }


def came_from_worker(error: Exception) -> bool:
    """Whether an exception came out of a worker rather than of the call itself; threads leave only a note on it."""
    notes: list[str] = getattr(error, "__notes__", [])
    return isinstance(error.__cause__, RemoteTraceback) or any(note.startswith("in worker") for note in notes)


def failed(source: JobSource, error: Exception) -> JobFailed:
    """What came back from a worker for what the job's code did, with what is said of the key or the item."""
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    local = "".join(traceback.format_exception(error))
    details = error.__cause__.text if isinstance(error.__cause__, RemoteTraceback) else local
    return JobFailed(f"job {source.name} failed: {describe(error)}{notes}", of_user(details))


def find_culprit(source: JobSource, files: Files, plan: Plan) -> None:
    """Raises for the text that native code stumbled over, and does nothing if there is none.

    That code reads a text when the job's own code has returned, and knows offsets but no names. So after a failure the
    texts are read again, one after another, until one fails.
    """
    job = source.load()
    if not getattr(job, "utf8", False):
        return
    task = JobMap(source, files.form.errors)
    for piece in sorted(plan.pieces, key=lambda piece: piece.order):
        for text in files.read(piece):
            try:
                iter(task(text))
            except UnicodeDecodeError as error:
                at = text.place.offset + error.start
                raise InputNotText(text.path, at, "utf-8", error.reason, text.place.unpacked) from None
            except ValueError as error:
                culprit = getattr(job, "culprit", None)
                raise (culprit(text, error) if culprit is not None else failed(source, error)) from None
