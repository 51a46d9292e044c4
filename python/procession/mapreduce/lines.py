"""A function over lines: JSON values in, JSON values out, on all cores and in bounded memory.

The parent never looks into a line. It reads blocks, cuts them behind a line's end, sends them as bytes and writes the
bytes that come back; reading JSON, calling the function and writing JSON happen in the workers. A million square roots
take 2.7 s of processor time that way; through `imap` with a line to a task 10 s, with 512 lines to a task 5.5 s.

Blocks grow from one line until one takes some milliseconds, so a slow function gets single lines and a fast one
thousands. Input that comes slowly is passed on as it comes: nothing waits for a block to be full.
"""

from __future__ import annotations

import json
import os
import select
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, BinaryIO, NamedTuple

from procession.errors import InputError, WorkerDied
from procession.mapreduce.crew import checked_workers, crew
from procession.mapreduce.errors import JobFailed
from procession.mapreduce.loading import describe, find_function, of_user

__all__ = ["LineFailed", "LineNotReadable", "LinesDone", "ON_ERROR", "map_lines"]

TARGET_NS = 20_000_000  # work in a block; a task costs some 30 µs
MOST_BYTES = 1 << 20  # in a block, unless one line is longer
READ_BYTES = 1 << 20  # asked of the input at a time
BLOCKS_PER_WORKER = 6  # out or waiting for an earlier one; so the memory of a run is bounded
POLL_SECONDS = 0.02  # between looks at an input that comes slowly while blocks are out; arbitrary; not measured

ON_ERROR = ("stop", "skip", "null")

READ, CALL, WRITE = range(3)  # what was being done to a line when it failed

Progress = Callable[[int, int], None]  # bytes done, lines done


class LineNotReadable(InputError, ValueError):
    """A line of the input is not JSON, or not text. `line` is its number, from 1."""

    line: int = 0


class LineFailed(JobFailed):
    """The function raised for a line, or gave what JSON has no form for. `line` is its number, from 1."""

    def __init__(self, message: str, details: str, line: int = 0) -> None:
        super().__init__(message, details)
        self.line = line

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.details, self.line)


class Failure(NamedTuple):
    """What went wrong with a line, as it travels."""

    line: int  # within the block, from 0
    stage: int
    reason: str
    details: str  # the traceback; empty where it says nothing to the user

    def error(self, lines_before: int) -> LineNotReadable | LineFailed:
        """The exception for it, with the line's number in the whole input."""
        line = lines_before + self.line + 1
        if self.stage == READ:
            return LineNotReadable(f"line {line}: {self.reason}", line=line)
        return LineFailed(f"line {line}: {self.reason}", self.details, line)


class BlockDone(NamedTuple):
    """What a worker made of a block."""

    output: bytes
    lines: int
    failed: int
    first: Failure | None
    nanoseconds: int


@dataclass(frozen=True)
class LineMap:
    """What is done to a block of lines, as it travels to the workers."""

    function: str  # its name: each worker finds it itself
    raw: bool  # a line is a str, not JSON
    errors: str  # for bytes that are not UTF-8, as in `bytes.decode`
    on_error: str  # one of ON_ERROR

    def __call__(self, block: bytes) -> BlockDone:
        """Runs in a worker. Raises what `find_function` raises, and nothing else."""
        began = time.perf_counter_ns()
        function, read = find_function(self.function), self.reader()
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        output: list[str] = []
        failed, first = 0, None
        for number, line in enumerate(lines):
            stage = READ
            try:
                if not self.raw and not line.strip():
                    continue
                value = read(line)
                stage = CALL
                result = function(value)
                stage = WRITE
                output.append(written(result))
            except Exception as error:
                failed += 1
                first = first or failure(number, stage, error)
                if self.on_error == "null":
                    output.append("null")
                elif self.on_error == "stop":
                    break
        output.append("")
        return BlockDone("\n".join(output).encode(), len(lines), failed, first, time.perf_counter_ns() - began)

    def reader(self) -> Callable[[bytes], Any]:
        """What makes a value of a line."""
        errors, decode = self.errors, json.JSONDecoder().raw_decode

        def read_json(line: bytes) -> Any:
            text = line.decode("utf-8", errors).strip(" \t\r")
            value, end = decode(text)
            if end != len(text):
                raise json.JSONDecodeError("Extra data", text, end)
            return value

        return (lambda line: line.removesuffix(b"\r").decode("utf-8", errors)) if self.raw else read_json


encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
ascii_encoder = json.JSONEncoder(allow_nan=False)


def written(result: Any) -> str:
    """A value as JSON in one line. Raises TypeError or ValueError for what JSON has no form for."""
    kind = type(result)
    if kind is int or (kind is float and isfinite(result)):  # as the encoder does, in a fifth of its time
        return repr(result)
    text = encoder.encode(result)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which only an escape can say
            return ascii_encoder.encode(result)
    return text


def failure(line: int, stage: int, error: Exception) -> Failure:
    """What to tell of an exception met in a worker."""
    if stage == READ:
        if isinstance(error, json.JSONDecodeError):
            return Failure(line, stage, f"not JSON: {error.msg} at column {error.pos + 1}", "")
        if isinstance(error, UnicodeDecodeError):
            return Failure(line, stage, f"byte {error.start} is not utf-8 ({error.reason})", "")
        return Failure(line, stage, describe(error), "")  # nested too deeply, a number too long
    if stage == WRITE:
        return Failure(line, stage, f"what the function returned cannot be written as JSON: {describe(error)}", "")
    return Failure(line, stage, describe(error), of_user("".join(traceback.format_exception(error))))


class Blocks:
    """The input in blocks of whole lines. `goal_bytes` may be changed at any time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = b""  # ends behind a line's end
        self._at = 0  # what of `_held` was handed out
        self._started: list[bytes] = []  # a line whose end has not been read
        self.goal_bytes = 1
        self.ended = False

    def has_more(self) -> bool:
        """Whether `fill` would not block."""
        return bool(select.select([self._descriptor], [], [], 0)[0])

    def fill(self) -> None:
        """Reads what there is. Blocks while there is nothing."""
        data = os.read(self._descriptor, READ_BYTES)
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


class Sent(NamedTuple):
    """A block that is out."""

    lines_before: int
    lines: int
    size_bytes: int
    answer: Any  # AsyncResult of BlockDone


class Run:
    """One call of `map_lines` under way."""

    def __init__(self, pool: Any, task: LineMap, blocks: Blocks, out: BinaryIO, *, ordered: bool, workers: int) -> None:
        self._pool, self._task, self._blocks, self._out, self._ordered = pool, task, blocks, out, ordered
        self._most = BLOCKS_PER_WORKER * workers
        self._sent: deque[Sent] = deque()  # in the order of the input
        self._lines = 0  # sent
        self._largest = 1  # bytes in the largest block answered
        self.done = LinesDone(workers=workers)

    def __call__(self, progress: Progress | None) -> None:
        """Everything, to the end of the input. Raises LineFailed, LineNotReadable, WorkerDied, OSError."""
        while True:
            self.send()
            if not self._sent:
                return
            self.receive()
            if progress is not None:
                progress(self.done.size_bytes, self.done.lines)

    def send(self) -> None:
        """Hands out blocks while there is room. Waits for input only when no block is out."""
        blocks, sent = self._blocks, self._sent
        while len(sent) < self._most:
            block = blocks.take()
            if block:
                lines = block.count(b"\n") + (not block.endswith(b"\n"))
                sent.append(Sent(self._lines, lines, len(block), self._pool.apply_async(self._task, (block,))))
                self._lines += lines
            elif blocks.ended or (sent and not blocks.has_more()):
                return
            else:
                blocks.fill()

    def receive(self) -> None:
        """Takes the next answer, or none if it does not come soon."""
        sent = self._sent
        at = 0 if self._ordered else next((at for at, one in enumerate(sent) if one.answer.ready()), 0)
        sent[at].answer.wait(POLL_SECONDS)
        while at < len(sent) and sent[at].answer.ready():
            one = sent[at]
            del sent[at]
            self.take(one)

    def take(self, one: Sent) -> None:
        """Writes what a block gave and learns from it how large the next should be."""
        try:
            answer: BlockDone = one.answer.get()
        except WorkerDied as error:
            first, last = one.lines_before + 1, one.lines_before + one.lines
            where = f"line {first}" if first == last else f"one of the lines {first} to {last}"
            raise WorkerDied.of(error.name, error.pid, error.exitcode, item=where) from error
        self._out.write(answer.output)
        if not self._blocks.ended:
            self._out.flush()  # whoever reads our output should not wait for what is done
        done = self.done
        done.lines += one.lines
        done.failed += answer.failed
        done.size_bytes += one.size_bytes
        if answer.first is not None:
            error_here = answer.first.error(one.lines_before)
            if self._task.on_error == "stop":
                raise error_here
            if done.first is None or error_here.line < done.first.line:
                done.first = error_here
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
    progress: Progress | None = None,
) -> LinesDone:
    """Calls a function with the JSON value of every line of a descriptor; writes what it returns, a line each.

    In the order of the input unless `ordered` is false. Lines of blanks are passed over. `raw`: a line is a str, all
    of it but its end. `on_error`: what becomes of a line that fails: the run ends there, with everything before it
    written ("stop"); it has no line in the output ("skip"), or `null`. Blocks until the input ends; holds some blocks
    per worker, however long the input is.

    Raises LineFailed, LineNotReadable or WorkerDied, which name the line; JobError if there is no such function;
    ValueError for less than one worker; OSError from reading or writing.
    """
    started = time.perf_counter()
    workers = checked_workers(workers, context)
    find_function(function)  # an error here is the caller's, and comes before any process is started
    with crew(context, workers, quiet=True) as pool:
        task = LineMap(function, raw, errors, on_error)
        run = Run(pool, task, Blocks(source), out, ordered=ordered, workers=workers)
        try:
            run(progress)
        finally:
            out.flush()
    run.done.seconds = time.perf_counter() - started
    return run.done
