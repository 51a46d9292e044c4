"""A function over lines: JSON values in, JSON values out, on all cores and in bounded memory.

The parent never looks into a line. It reads blocks, cuts them behind a line's end, sends them as bytes and writes the
bytes that come back; reading JSON, calling the function and writing JSON happen in the workers (`blocks`). A million
square roots take 2.7 s of processor time that way; through `imap` with a line to a task 10 s, with 512 lines to a task
5.5 s.

Blocks grow from one line until one takes some milliseconds, so a slow function gets single lines and a fast one
thousands. Input that comes slowly is passed on as it comes: nothing waits for a block to be full.

Where it matters which line it is (it may be killed, tried again, or stand in a checkpoint) a block is one line. That is
slower where a call takes microseconds (a million square roots: see docs/guides/resume.md), and nothing is called twice.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from procession._sizes import shown_size
from procession.errors import MemoryLimitExceeded, TaskTimeout, WorkerDied, describe_exit
from procession.mapreduce.blocks import (
    END,
    ON_ERROR,
    BlockDone,
    Failure,
    LineFailed,
    LineMap,
    LineNotReadable,
)
from procession.mapreduce.crew import checked_workers, cluster_of, crew
from procession.mapreduce.kept import KeptLines
from procession.mapreduce.loading import find_function

__all__ = ["LineFailed", "LineNotReadable", "LinesDone", "ON_ERROR", "map_lines"]

TARGET_NS = 20_000_000  # work in a block; a task costs some 30 µs
MOST_BYTES = 1 << 20  # in a block, unless one line is longer
READ_BYTES = 1 << 20  # asked of the input at a time
BLOCKS_PER_WORKER = 6  # out or waiting for an earlier one; so the memory of a run is bounded
LINES_PER_WORKER = 256  # the same where each block is a line; so one that takes long does not hold up the others soon
MOST_SENT_BYTES = 64 << 20  # of such lines, but always some
LOOK_SECONDS = 0.1  # between looks whether to stop, while there is no input
POLL_SECONDS = 0.02  # between looks at an input that comes slowly while blocks are out; arbitrary; not measured

Progress = Callable[[int, int], None]  # bytes done, lines done


class Blocks:
    """The input in blocks of whole lines. `goal_bytes` may be changed at any time."""

    def __init__(self, descriptor: int, stop: Callable[[], bool]) -> None:
        """The input ends with the descriptor's, or when it is waited for and `stop()`."""
        self._descriptor, self._stop = descriptor, stop
        self._held = b""  # ends behind a line's end
        self._at = 0  # what of `_held` was handed out
        self._started: list[bytes] = []  # a line whose end has not been read
        self.goal_bytes = 1
        self.ended: bool = False

    def has_more(self) -> bool:
        """Whether `fill` would not block."""
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def fill(self) -> None:
        """Reads what there is. Blocks while there is nothing."""
        # No read that waits: a signal that came just before it would not end it
        while not self._stop() and not select.select([self._descriptor], [], [], LOOK_SECONDS)[0]:
            pass
        data = b"" if self._stop() else os.read(self._descriptor, READ_BYTES)
        self.ended = not data
        border = len(data) if self.ended else data.rfind(b"\n") + 1
        if border or self.ended:
            self._held = b"".join([self._held[self._at :], *self._started, data[:border]])
            self._at = 0
            self._started.clear()
        if border < len(data):
            self._started.append(data[border:])

    def take(self) -> bytes:
        """The next block, of at most `goal_bytes` where that holds a line; empty if no whole line was read."""
        if self._at == len(self._held):
            return b""
        end = self._held.rfind(b"\n", self._at, self._at + self.goal_bytes) + 1
        end = end or self._held.find(b"\n", self._at) + 1 or len(self._held)
        block = self._held[self._at : end]
        self._at = end
        return block


@dataclass
class LinesDone:
    """What came of a run so far."""

    lines: int = 0
    failed: int = 0
    first: LineNotReadable | LineFailed | None = None  # the first failure among the lines that were passed over
    size_bytes: int = 0
    workers: int = 0
    seconds: float = 0.0
    resumed: int = 0  # lines that a checkpoint had, results and failures


def ending(error: WorkerDied) -> str:
    """Why the worker of a line ended, and where it was, if that is known."""
    if isinstance(error, TaskTimeout):
        why = f"took longer than {error.timeout_s:g} s"
    elif isinstance(error, MemoryLimitExceeded):
        limit, had = shown_size(error.limit_bytes or 0), shown_size(error.memory_bytes or 0)
        why = f"its worker (pid {error.pid}) had {had} of memory, and {limit} was the limit"
    else:
        why = f"its worker (pid {error.pid}) {describe_exit(error.exitcode)}"
    return f"{why}, at {error.line}" if error.line else why


class Known:
    """Stands for the answer of a line that a checkpoint has."""

    done = True

    def ready(self) -> bool:
        """It is."""
        return True

    def wait(self, timeout: float) -> None:
        """For nothing."""


@dataclass(slots=True)
class Sent:
    """A block that is out."""

    lines_before: int
    lines: int
    size_bytes: int
    answer: Any  # AsyncResult of BlockDone without callbacks, or Known
    done: BlockDone | None = None  # what came of it
    digest: bytes = b""  # of a line, for the checkpoint


class Run:
    """One call of `map_lines` under way. `kept` is the checkpoint; `single`: each line is a block by itself."""

    def __init__(
        self,
        pool: Any,
        task: LineMap,
        blocks: Blocks,
        out: BinaryIO,
        *,
        ordered: bool,
        workers: int,
        single: bool = False,
        kept: KeptLines | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pool, self._blocks, self._out, self._ordered, self._kept = pool, blocks, out, ordered, kept
        self._stop = stop
        self._single, self._on_error = single, task.on_error
        self._task = replace(task, on_error="skip") if single else task  # the journal knows what failed, not what it is
        self._most = (LINES_PER_WORKER if single else BLOCKS_PER_WORKER) * workers
        self._fewest = 2 * workers  # out, however large
        self._sent: deque[Sent] = deque()  # in the order of the input
        self._sent_bytes = 0
        self._looked = 0.0  # when answers were last looked at for the checkpoint
        self._lines = 0  # sent
        self._largest = 1  # bytes in the largest block answered
        self.done: LinesDone = LinesDone(workers=workers)

    def __call__(self, progress: Progress | None) -> None:
        """Everything, to the end of the input. Raises LineFailed, LineNotReadable, WorkerDied, OSError."""
        try:
            while True:
                self.send()
                if self._stop():
                    self.withdraw()
                if not self._sent:
                    break
                self.receive()
                if progress is not None:
                    progress(self.done.size_bytes, self.done.lines)
        except BaseException:
            with contextlib.suppress(Exception):
                self.settle()  # what is done and has not had its turn
            raise
        if self._kept is not None and not self._stop():
            self._kept.check_end(self._lines)

    def send(self) -> None:
        """Hands out blocks while there is room. Waits for input only when no block is out."""
        blocks, sent = self._blocks, self._sent
        while self.has_room() and not self._stop():
            block = blocks.take()
            if block:
                self.submit(block)
            elif blocks.ended or (sent and not blocks.has_more()):
                return
            else:
                blocks.fill()

    def has_room(self) -> bool:
        """Whether another block may go out."""
        out = len(self._sent)
        return out < self._fewest or (out < self._most and self._sent_bytes < MOST_SENT_BYTES)

    def submit(self, block: bytes) -> None:
        """Sends a block to a worker, unless it is known what comes of it. Raises CheckpointMismatch."""
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        one = Sent(self._lines, lines, len(block), None)
        if self._kept is not None:
            one.digest = self._kept.digest_of(block)
            one.done = self._kept.known(self._lines, one.digest)
        one.answer = self._pool.apply_async(*self._task.call(block)) if one.done is None else Known()
        self._lines += lines
        self._sent_bytes += len(block)
        self._sent.append(one)

    def withdraw(self) -> None:
        """Takes back what no worker has begun, and what is only known."""
        sent, take_back = self._sent, self._pool._core.take_back
        while sent and (isinstance(sent[-1].answer, Known) or take_back(sent[-1].answer)):
            self._sent_bytes -= sent.pop().size_bytes

    def receive(self) -> None:
        """Takes the next answer, or none if it does not come soon."""
        sent = self._sent
        at = 0 if self._ordered else next((at for at, one in enumerate(sent) if one.answer.ready()), 0)
        sent[at].answer.wait(POLL_SECONDS)
        while at < len(sent) and sent[at].answer.ready():
            one = sent[at]
            del sent[at]
            self.take(one)
        if not self._blocks.ended:
            self._out.flush()  # whoever reads our output should not wait for what is done
        if self._kept is not None and time.monotonic() - self._looked >= POLL_SECONDS:
            self.settle()
            self._looked = time.monotonic()

    def settle(self) -> None:
        """Writes down what is done and waits for its turn to be written out. Raises CheckpointError."""
        sent = self._sent
        if sent:
            sent[-1].answer.ready()  # takes in what has come for any of them
        for one in sent:
            if one.done is None and one.answer.done:
                self.outcome(one)

    def outcome(self, one: Sent) -> BlockDone:
        """What came of a block, written down if there is a checkpoint. Raises WorkerDied, CheckpointError."""
        if one.done is not None:
            return one.done
        doubtful = False
        try:
            one.done = one.answer.get()
        except WorkerDied as error:
            if not self._single:
                first, last = one.lines_before + 1, one.lines_before + one.lines
                where = f"line {first}" if first == last else f"one of the lines {first} to {last}"
                raise WorkerDied.of(error.name, error.pid, error.exitcode, item=where) from error
            one.done = BlockDone(b"", 1, 1, Failure(0, END, ending(error), ""), 0)
            doubtful = type(error) is WorkerDied and self._on_error != "stop"
        if self._kept is not None:
            self._kept.add(one.lines_before, one.digest, one.done, doubtful=doubtful)
        return one.done

    def take(self, one: Sent) -> None:
        """Writes what a block gave and learns from it how large the next should be."""
        answer = self.outcome(one)
        self._sent_bytes -= one.size_bytes
        self._out.write(b"null\n" if self._single and answer.failed and self._on_error == "null" else answer.output)
        done = self.done
        done.lines += one.lines
        done.failed += answer.failed
        done.size_bytes += one.size_bytes
        if answer.first is not None:
            error_here = answer.first.error(one.lines_before)
            if self._on_error == "stop":
                raise error_here
            if done.first is None or error_here.line < done.first.line:
                done.first = error_here
        if not self._single:
            self._largest = max(self._largest, one.size_bytes)
            wanted = one.size_bytes * TARGET_NS // max(1, answer.nanoseconds)
            self._blocks.goal_bytes = max(1, min(wanted, 2 * self._largest, MOST_BYTES))


def map_lines(
    function: str,
    source: int,
    out: BinaryIO,
    *,
    context: Any,
    workers: int | None = None,
    raw: bool = False,
    errors: str = "strict",
    on_error: str = "stop",
    ordered: bool = True,
    timeout: float | None = None,
    retries: int = 0,
    memory_limit: int | None = None,
    checkpoint: Any = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> LinesDone:
    """Calls a function with the JSON value of every line of a descriptor; writes what it returns, a line each.

    In the order of the input unless `ordered` is false. Lines of blanks are passed over. `raw`: a line is a str, all
    of it but its end. `on_error`: what becomes of a line that fails: the run ends there, with everything before it
    written ("stop"); it has no line in the output ("skip"), or `null`. Blocks until the input ends, or until `stop()`:
    then what is being done is finished, and nothing begun. Holds some blocks per worker, however long the input is.

    `timeout` (seconds a line may take), `retries` (how often one is tried again whose worker died) and `memory_limit`
    (bytes of a worker) are as in a `Pool`; a line that goes beyond them fails as one for which the function raises.
    `checkpoint` is a path or a `Checkpoint`: lines that are done are kept there, and the same call, after a death of
    everything, writes all of the output again and calls the function only for the rest.

    Raises LineFailed, LineNotReadable or WorkerDied, which name the line; JobError if there is no such function;
    ValueError for less than one worker; OSError from reading or writing; CheckpointError.
    """
    started = time.perf_counter()
    workers = checked_workers(workers, context)
    found = find_function(function)  # an error here is the caller's, and comes before any process is started
    limits = {"timeout": timeout, "retries": retries or None, "memory_limit": memory_limit}
    limits = {name: value for name, value in limits.items() if value is not None}
    single = bool(limits) or checkpoint is not None
    cluster = cluster_of(context)
    by_name = cluster is None or cluster.has_main
    task = LineMap(function if by_name else found, raw, errors, on_error)
    with contextlib.ExitStack() as stack:
        kept = None if checkpoint is None else stack.enter_context(KeptLines(checkpoint, found, task))
        pool = stack.enter_context(crew(context, workers, quiet=True, **limits))
        blocks = Blocks(source, stop)
        run = Run(pool, task, blocks, out, ordered=ordered, workers=workers, single=single, kept=kept, stop=stop)
        try:
            run(progress)
        finally:
            out.flush()
    run.done.resumed = 0 if kept is None else kept.resumed
    run.done.seconds = time.perf_counter() - started
    return run.done
