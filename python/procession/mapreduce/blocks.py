"""What is done to a block of lines, in a worker: JSON read, a function called, JSON written.

A line that fails is told of in a few words, which travel; the caller, who alone knows how many lines came before the
block, makes the exception.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

from procession.errors import InputError
from procession.mapreduce.errors import JobFailed
from procession.mapreduce.loading import describe, find_function, of_user

__all__ = ["ON_ERROR", "BlockDone", "Failure", "LineFailed", "LineMap", "LineNotReadable", "map_block"]

ON_ERROR = ("stop", "skip", "null")

READ, CALL, WRITE, END = range(4)  # what was being done to a line when it failed; END: its worker ended


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
    """What is done to a block of lines."""

    function: str | Callable[[Any], Any]  # its name, which travels, so that each worker finds it itself; or itself
    raw: bool  # a line is a str, not JSON
    errors: str  # for bytes that are not UTF-8, as in `bytes.decode`
    on_error: str  # one of ON_ERROR

    def __call__(self, block: bytes) -> BlockDone:
        """Runs in a worker. Raises what `find_function` raises, and nothing else."""
        began = time.perf_counter_ns()
        function = find_function(self.function) if isinstance(self.function, str) else self.function
        read = self.reader()
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

    def call(self, block: bytes) -> tuple[Callable[..., BlockDone], tuple[Any, ...]]:
        """What a pool is to call for a block, and with what."""
        if not isinstance(self.function, str):
            return self, (block,)
        return map_block, (self.function, self.raw, self.errors, self.on_error, block)

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


def map_block(function: str, raw: bool, errors: str, on_error: str, block: bytes) -> BlockDone:
    """Runs in a worker. A function by name with plain arguments: an object would be pickled anew for each block, which
    takes three times as long as the rest."""
    return LineMap(function, raw, errors, on_error)(block)


encoder: json.JSONEncoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
ascii_encoder: json.JSONEncoder = json.JSONEncoder(allow_nan=False)


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
