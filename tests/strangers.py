"""Unrelated programs: each a Python of its own, that does what it is told line by line, or at once with a queue."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

PROGRAM = """
import os, sys, warnings
import procession
from procession import errors
names = globals()
for line in sys.stdin:
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            line = line.rstrip().replace(chr(0), chr(10))
            try:
                answer = eval(compile(line, "order", "eval"), names)
            except SyntaxError:
                answer = exec(line, names)
        plain = type(answer) in (int, float, str, bool, bytes, list, tuple)
        answer = (answer if plain else None, [str(one.message) for one in told])
    except Exception as error:
        answer = (type(error).__name__, str(error))
    print(repr(answer), flush=True)
"""


class Stranger:
    """A program that shares nothing with this one. Use in a `with` block."""

    def __init__(self, *prefix: str) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, order: str) -> None:
        """Let it begin with something."""
        assert self.process.stdin is not None
        self.process.stdin.write(order.replace("\n", "\0") + "\n")
        self.process.stdin.flush()

    def answer(self) -> tuple[Any, Any]:
        """What came of it, and what it was warned of; or name and text of an error."""
        assert self.process.stdout is not None
        answer = ast.literal_eval(self.process.stdout.readline())
        assert isinstance(answer, tuple)
        return answer

    def do(self, order: str) -> Any:
        """Let it do something, without an error or a warning."""
        self.tell(order)
        answer, told = self.answer()
        assert told == [], (answer, told)
        return answer

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()


WITH_QUEUE = """\
import sys
import procession
path, durability = sys.argv[1:3]
queue = procession.Queue(path=path, durability=durability)
"""


def program(path: Path, code: str, durability: str = "crash") -> "subprocess.Popen[str]":
    """One that has opened the queue at `path` as `queue`, and runs `code`."""
    arguments = [sys.executable, "-c", WITH_QUEUE + code, str(path), durability]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def output(started: "subprocess.Popen[str]") -> str:
    """What it printed to its end."""
    told = started.communicate(timeout=20)[0]
    assert started.returncode == 0
    return told
