"""`procession map`: lines in, lines out, with real processes."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import COMMAND, complaint, left_behind, procession

FUNCTIONS = """
import os, signal

def double(value):
    return value * 2

def shout(line):
    print("said by the function")
    return line.upper()

def third_fails(value):
    if value == 3:
        raise KeyError("not three")
    return value

def no_json(value):
    return {1, 2} if value == 2 else value

def no_number(value):
    return float("nan")

def dies(value):
    if value == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return value

not_a_function = 7
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "fn.py").write_text(FUNCTIONS)
    yield tmp_path
    assert left_behind(tmp_path) == [], "a process outlived the command"


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver", "thread"])
def test_values_of_every_kind_in_order(context: str, folder: Path) -> None:
    rng = random.Random(3)
    values = [rng.choice([1, 2.5, "é𝄞\n", [1, [2]], "", "x" * 3000]) for _ in range(5000)]
    text = "".join(json.dumps(value, ensure_ascii=rng.random() < 0.5) + rng.choice(["\n", "\r\n"]) for value in values)
    done = procession("map", "fn.py:double", "--context", context, "--workers", "3", cwd=folder, input=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line) for line in done.stdout.split("\n")[:-1]] == [value * 2 for value in values]


def test_unordered_has_the_same_lines(folder: Path) -> None:
    text = "".join(f"{number}\n" for number in range(20_000))
    done = procession("map", "fn.py:double", "--unordered", "--workers", "3", cwd=folder, input=text)
    assert sorted(map(int, done.stdout.split())) == list(range(0, 40_000, 2))


def test_raw_lines_and_a_function_that_prints(folder: Path) -> None:
    done = procession("map", "fn.py:shout", "--raw", cwd=folder, input="one\r\n\n  two\nno newline")
    assert done.stdout.splitlines() == ['"ONE"', '""', '"  TWO"', '"NO NEWLINE"']
    assert done.stderr.count("said by the function") == 4


def test_nothing_and_lines_of_blanks(folder: Path) -> None:
    assert procession("map", "fn.py:double", cwd=folder, input="").stdout == ""
    assert procession("map", "fn.py:double", cwd=folder, input="\n 1 \n\t\n2").stdout == "2\n4\n"


def test_what_only_an_escape_can_say(folder: Path) -> None:
    done = procession("map", "copy:copy", cwd=folder, input='"\\ud800"\n"\\u00e9"\n')
    assert done.stdout == '"\\ud800"\n"é"\n'


@pytest.mark.parametrize(
    ("arguments", "text", "code", "says", "written"),
    [
        (["fn.py:third_fails"], "1\n2\n3\n4\n", 1, "line 3: KeyError: 'not three'", "1\n2\n"),
        (["fn.py:double"], '1\n{"a\n', 3, "line 2: not JSON: Unterminated string", "2\n"),
        (["fn.py:double"], "1\n2 3\n", 3, "line 2: not JSON: Extra data at column 2", "2\n"),
        (["fn.py:no_json"], "1\n2\n", 1, "line 2: what the function returned cannot be written as JSON", "1\n"),
        (["fn.py:no_number"], "1\n", 1, "line 1: what the function returned cannot be written as JSON", ""),
        (["fn.py:double"], b"1\n\xff\n", 3, "line 2: byte 0 is not utf-8", "2\n"),
        (["fn.py:dies", "--workers", "1"], "2\n", 1, "SIGKILL while working on line 1 ", ""),
        (["fn.py:nothing"], "1\n", 2, "fn.py has no 'nothing'; it has: dies, double, no_json", ""),
        (["fn.py:not_a_function"], "1\n", 2, "fn.py:not_a_function is no function", ""),
        (["double"], "1\n", 2, "'double' names nothing; a function is named module:function", ""),
        (["nofile.py:f"], "1\n", 2, "no job file 'nofile.py'", ""),
        (["fn.py:double", "--workers", "0"], "1\n", 2, "at least 1 worker, not 0", ""),
    ],
)
def test_what_can_go_wrong(
    arguments: list[str], text: str | bytes, code: int, says: str, written: str, folder: Path
) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    done = subprocess.run([*COMMAND, "map", *arguments], cwd=folder, input=data, capture_output=True, timeout=50)
    assert done.returncode == code, done.stderr
    said = complaint(done.stderr.decode())
    assert said.startswith(("procession: ", "procession map: "))
    assert says in said
    assert done.stdout.decode() == written
    assert done.stderr.count(b"\n") <= 2 or b'fn.py", line' in done.stderr, "at most the traceback of the function"


def test_lines_that_are_passed_over(folder: Path) -> None:
    text = '1\n3\n"x\n4\n'
    done = procession("map", "fn.py:third_fails", "--on-error", "skip", cwd=folder, input=text)
    assert (done.returncode, done.stdout) == (0, "1\n4\n")
    assert done.stderr == "2 of 4 lines failed; line 2: KeyError: 'not three'\n"
    done = procession("map", "fn.py:third_fails", "--on-error", "null", cwd=folder, input=text)
    assert (done.returncode, done.stdout) == (0, "1\nnull\nnull\n4\n")


def test_bytes_that_are_no_text(folder: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "map", "fn.py:shout", "--raw", "--errors", "replace"],
        cwd=folder,
        input=b"a\xffb\n",
        capture_output=True,
        timeout=50,
    )
    assert done.stdout.decode() == '"A\ufffdB"\n'


def test_a_number_of_the_right_line_far_behind(folder: Path) -> None:
    text = "".join(f"{number}\n" for number in range(10, 30_000)) + "3\n"
    done = procession("map", "fn.py:third_fails", cwd=folder, input=text)
    assert "line 29991: KeyError" in done.stderr
    assert done.stdout == text[:-2]


def test_answers_come_while_the_input_is_open(folder: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "map", "fn.py:double"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(3):
            process.stdin.write(b"%d\n" % number)
            process.stdin.flush()
            assert process.stdout.readline() == b"%d\n" % (2 * number)
        process.stdin.write(b"7")
        process.stdin.close()
        assert process.stdout.readline() == b"14\n"
        assert process.wait(50) == 0


def test_a_reader_that_leaves_early(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    text = "".join(f"{number}\n" for number in range(10_000)).encode()
    done = subprocess.run(
        [*COMMAND, "map", "fn.py:double"], cwd=folder, input=text, stdout=writer, stderr=subprocess.PIPE, timeout=50
    )
    os.close(writer)
    assert done.returncode == 128 + 13
    assert done.stderr == b""
