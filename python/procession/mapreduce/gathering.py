"""Jobs without keys on a pool: each worker folds the pieces it takes into a partial answer, the parent joins those.

The pieces lie in a shared queue and each worker is given a *share*: take pieces until none is left. So work is balanced
without the parent's help, and one partial answer per worker travels back, however many pieces there were: with one per
piece, the parent's unpickling and joining takes longer than the map itself. The parent meanwhile only reads what the
workers show on a board.

Only what a share returned counts. What is to be done when a worker died, and when to give up, are the same rules as
those of a map-reduce by key (`pool.rounds`); the board is the same as well. With a checkpoint shares are asked to
return now and then, and what they return is written down before it is joined.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from procession.errors import Empty, ShutDown, WorkerDied
from procession.mapreduce.inputs import Files
from procession.mapreduce.jobs import JobSource, blamed
from procession.mapreduce.kept import KeptPieces
from procession.mapreduce.plan import PIECE_BYTES, Plan
from procession.mapreduce.stretches import Text
from procession.pool.board import BYTES, CHUNK, COMMIT, MAPPING, PID, STATE, STOP, Board, KeyedProgress, WorkerProgress
from procession.pool.calls import Call
from procession.pool.far_keyed import PORTIONS_PER_WORKER
from procession.pool.rounds import Again, Fail, Finish, Instruction, MapRounds, StartShare

__all__ = ["Folding", "Gathering", "Progress"]

POLL_SECONDS = 0.1  # how often progress is reported; arbitrary; not measured

Progress = Callable[[KeyedProgress], object]


class Folding:
    """A partial answer in the making: adds pieces to it one after another."""

    def __init__(self, source: JobSource, files: Files) -> None:
        self.source: JobSource = source
        self.files: Files = files
        self.has_total: bool = False
        self.total: Any = None

    def add(self, piece: Any) -> int:
        """Reads a piece and folds it in; its size in bytes. Raises JobFailed, or what `Files.read` raises."""
        job = self.source.load()
        fold = getattr(job, "fold", None)
        for text in self.files.read(piece):
            with blamed(self.source.name, str(text.place)):
                if not self.has_total:
                    self.total, self.has_total = job.map(text), True
                elif fold is not None:
                    self.total = fold(self.total, text)
                else:
                    self.total = job.reduce(self.total, job.map(text))
        return int(piece.size_bytes)

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


class Partial(NamedTuple):
    """What a share returns."""

    total: tuple[Any, ...]  # its partial answer; nothing if no piece was left for it
    pieces: list[int]  # what went into it


@dataclass(frozen=True)
class Share:
    """What a worker is called with. Calling it does the work, until no piece is left, `most` are done, or the parent
    wants it back. A worker that dies takes with it what its share had done."""

    source: JobSource
    files: Files
    pieces: Any  # a shared queue of numbers and pieces
    board: Board
    slot: int
    most: int  # 0 for no bound

    def __call__(self) -> Partial:
        folding, done = Folding(self.source, self.files), list[int]()
        words, line = self.board.words, self.board.line(self.slot)
        wanted = words[COMMIT]
        line[PID], line[STATE] = threading.get_native_id(), MAPPING
        while not words[STOP] and words[COMMIT] == wanted and not 0 < self.most <= len(done):
            try:
                number, piece = self.pieces.get(block=False)
            except (Empty, ShutDown):
                break
            line[CHUNK] = number + 1
            line[BYTES] += folding.add(piece)
            line[CHUNK] = 0
            done.append(number)
        return Partial((folding.total,) if folding.has_total else (), done)


class Gathering:
    """One run of a job without keys: hands the plan's pieces to the workers and joins what they return."""

    def __init__(
        self,
        pool: Any,
        context: Any,
        source: JobSource,
        files: Files,
        plan: Plan,
        workers: int,
        *,
        retries: int,
        kept: KeptPieces | None,
        report: Progress,
    ) -> None:
        self._pool, self._context, self._source, self._files, self._plan = pool, context, source, files, plan
        self._kept, self._report = kept, report
        self._folding = Folding(source, files)
        self._rounds = MapRounds(workers, retries)
        self._board = Board.of(workers, shared=context.get_start_method() != "thread")
        self._out: dict[int, Any] = {}  # AsyncResult of the share at a slot
        self._done_bytes = 0  # of shares that returned
        self._finished = False
        self._started = self._asked = time.perf_counter()

    def run(self) -> dict[str, Any]:
        """The answer and what it took, as fields of `Answer`. Raises JobFailed, InputError, WorkerDied."""
        known: set[int] = set()
        if self._kept is not None:
            for total, pieces in self._kept.partials():
                self._take(Partial(total, pieces))
                known.update(pieces)
        mapped = time.perf_counter()
        try:
            self._round([number for number in range(len(self._plan.pieces)) if number not in known])
            while not self._finished:
                self._await()
                if self._show() < self._plan.size_bytes:
                    mapped = time.perf_counter()
        except BaseException:
            self._board.words[STOP] = 1  # a worker that cannot be killed (a thread) stops at its next piece
            raise
        total = self._folding.finish()
        return {"total": total, "gather_seconds": time.perf_counter() - mapped}

    def _round(self, numbers: list[int]) -> None:
        """Has pieces done, for the first time or again, out of a new queue: an old one may be cut off."""
        self._pieces = self._context.Queue()
        self._pieces.put_many([(number, self._plan.pieces[number]) for number in numbers])
        self._carry_out(self._rounds.fed(numbers, self._waiting))
        self._carry_out(self._rounds.completed(self._waiting))

    @property
    def _waiting(self) -> int:
        return int(self._pieces.qsize())

    def _await(self) -> None:
        """Takes what comes within a moment."""
        kept = self._kept
        next(iter(self._out.values())).wait(POLL_SECONDS if kept is None else min(POLL_SECONDS, kept.interval))
        for slot, answer in list(self._out.items()):
            if answer.ready():
                del self._out[slot]
                self._ended(slot, answer)
        now = time.perf_counter()
        if kept is not None and now - self._asked >= kept.interval:
            self._asked = now
            self._board.words[COMMIT] += 1

    def _ended(self, slot: int, answer: Any) -> None:
        line = self._board.line(slot)
        try:
            partial: Partial = answer.get()
        except WorkerDied as death:
            at = (line[CHUNK] - 1, 0) if line[CHUNK] else None
            self._board.clear(slot)
            self._carry_out(self._rounds.died(slot, at, self._waiting), death)
            return
        self._board.clear(slot)
        if self._kept is not None:
            self._kept.add(*partial)
        self._take(partial)
        self._carry_out(self._rounds.returned(slot, partial.pieces, self._waiting))

    def _take(self, partial: Partial) -> None:
        if partial.total:
            self._folding.join(partial.total[0])
        self._done_bytes += sum(self._plan.pieces[number].size_bytes for number in partial.pieces)

    def _carry_out(self, instructions: list[Instruction], death: WorkerDied | None = None) -> None:
        for instruction in instructions:
            if isinstance(instruction, StartShare):
                slot = instruction.slot
                share = Share(self._source, self._files, self._pieces, self._board, slot, instruction.most)
                self._out[slot] = self._pool.apply_async(share)
            elif isinstance(instruction, Again):
                self._round(list(instruction.chunks))
            elif isinstance(instruction, Fail):
                assert death is not None
                raise Call.given_up(death, self._describe(instruction.chunk), instruction)
            elif isinstance(instruction, Finish):
                self._finished = True

    def _describe(self, number: int | None) -> str:
        name = f"{self._source.name}.map"
        return name if number is None else f"{name}({self._plan.pieces[number].place})"

    def _show(self) -> int:
        """Reports how far it is; bytes done."""
        lines = [self._board.line(slot) for slot in self._out]
        busy = tuple(WorkerProgress(line[PID], "map", 0, line[BYTES], 0, 0) for line in lines if line[PID])
        done = self._done_bytes + sum(one.bytes for one in busy)
        seconds = time.perf_counter() - self._started
        self._report(KeyedProgress("map", 0, None, done, self._plan.size_bytes, seconds, busy))
        return done


# On a cluster


class Portion:
    """What a cluster's worker is called with: reads pieces and folds them."""

    def __init__(self, source: JobSource, files: Any) -> None:
        """`files`: what reads the pieces, as `Files.afar` gives it."""
        self.source: JobSource = source
        self.files: Any = files
        self.__qualname__ = f"{source.name}.map"

    def __call__(self, pieces: list[Any]) -> Partial:
        folding = Folding(self.source, self.files)
        for piece in pieces:
            folding.add(piece)
        return Partial((folding.total,) if folding.has_total else (), [piece.order for piece in pieces])


def gather_afar(
    pool: Any, source: JobSource, files: Files, plan: Plan, workers: int, report: Progress
) -> dict[str, Any]:
    """As `Gathering.run` on the workers of a cluster, with which nothing is shared: the pieces go out in portions, each
    a task that comes back with a partial answer. When one is done again is the engine's business."""
    pieces, reader = files.afar(plan)
    folding = Folding(source, files)
    answers = pool.imap_unordered(Portion(source, reader), list(portions(pieces, plan.size_bytes, workers)))
    size_of = {piece.order: piece.size_bytes for piece in plan.pieces}
    began = mapped = time.perf_counter()
    done = 0
    while done < plan.size_bytes:
        with contextlib.suppress(TimeoutError):
            partial: Partial = answers.next(POLL_SECONDS)
            mapped = time.perf_counter()
            if partial.total:
                folding.join(partial.total[0])
            done += sum(size_of[order] for order in partial.pieces)
        report(KeyedProgress("map", 0, None, done, plan.size_bytes, time.perf_counter() - began, ()))
    return {"total": folding.finish(), "gather_seconds": time.perf_counter() - mapped}


def portions(pieces: list[Any], size_bytes: int, workers: int) -> Iterator[list[Any]]:
    """Pieces in lists of about the same size, a few for each worker."""
    goal = max(PIECE_BYTES, size_bytes // (PORTIONS_PER_WORKER * workers))
    batch: list[Any] = []
    for piece in pieces:
        batch.append(piece)
        if sum(one.size_bytes for one in batch) >= goal:
            yield batch
            batch = []
    if batch:
        yield batch
