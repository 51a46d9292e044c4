"""`forward_output`: what processes print arrives in whole lines, attributed, in order, whatever becomes of them."""

import itertools
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import output_tasks as tasks
import pytest

import procession
from procession._output import channels, relay
from procession._output.channels import Text
from procession._output.source import TAIL_CHARACTERS
from procession.errors import NotSupported, WorkerDied
from procession.testing import wait_until


class Seen(list[Any]):
    """The lines that came."""

    def of(self, stream: str) -> list[str]:
        return [line.text for line in self if line.stream == stream]


@pytest.fixture
def seen() -> Seen:
    return Seen()


def run(context: Any, seen: Seen, target: Any, *args: Any, **options: Any) -> Any:
    """A process that has ended, and whose lines have come."""
    process = context.Process(target=target, args=args, forward_output=seen.append, **options)
    process.start()
    process.join()
    return process


# What arrives


@pytest.mark.slow
def test_lines_are_printed_with_their_process(process_context: Any, capsys: Any) -> None:
    process = process_context.Process(target=tasks.say_both, args=(7,), name="seven", forward_output=True)
    process.start()
    assert process.result() == 7
    assert process.output == ("out 7", "err 7")
    process.close()
    assert capsys.readouterr() == ("[seven] out 7\n", "[seven] err 7\n")


@pytest.mark.slow
def test_streams_and_records_keep_their_order(process_context: Any, seen: Seen) -> None:
    process = run(process_context, seen, tasks.take_turns, 500, name="turner")
    process.close()
    assert [line.stream for line in seen] == list(tasks.PATTERN) * 500
    numbers = [int(line.text.rpartition(":")[2]) for line in seen]
    assert numbers == [number for number in range(500) for _ in tasks.PATTERN]
    assert {(line.process, line.pid > 0) for line in seen} == {("turner", True)}


@pytest.mark.slow
def test_many_lines_of_many_children_are_whole(fork: Any, capsys: Any) -> None:
    children = [
        fork.Process(target=tasks.count, args=(20_000,), name=f"w{place}", forward_output=True) for place in range(4)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
        child.close()
    captured = capsys.readouterr()
    for text, pattern in ((captured.out, r"\[(w\d)\] (\d+) \.*"), (captured.err, r"\[(w\d)\] (\d+)")):
        lines: dict[str, list[int]] = {}
        for line in text.splitlines():
            match = re.fullmatch(pattern, line)
            assert match is not None, line
            lines.setdefault(match[1], []).append(int(match[2]))
        step = 1 if text is captured.out else 2
        assert lines == {f"w{place}": list(range(step - 1, 20_000, step)) for place in range(4)}


def test_what_is_not_python_arrives_too(fork: Any, seen: Seen) -> None:
    run(fork, seen, tasks.be_many).close()
    assert seen.of("stdout") == ["shell", "forked"]
    assert seen.of("stderr") == ["shell too"]
    assert [(line.record.name, line.record.process != line.pid) for line in seen if line.record] == [("forked", True)]


@pytest.mark.slow
def test_the_last_words_of_a_crash_arrive(process_context: Any, seen: Seen) -> None:
    process = run(process_context, seen, tasks.crash)
    with pytest.raises(WorkerDied, match=r"(?s)SIGSEGV.*; the last it printed:(\n    .*){10}$") as caught:
        process.result()
    process.close()
    assert seen.of("stdout") == ["before"]
    assert seen.of("stderr")[0] == "Fatal Python error: Segmentation fault"
    # (Python names all extension modules in one line, which may be longer than what is kept.)
    assert caught.value.output == tuple(line.text[:TAIL_CHARACTERS] for line in seen)


def test_a_line_without_an_end_comes_at_the_end(fork: Any, seen: Seen) -> None:
    process = run(fork, seen, tasks.leave, "one\ntwo")
    with pytest.raises(WorkerDied, match=r"exited with code 3") as caught:
        process.result()
    process.close()
    assert caught.value.output == ("one", "two")
    assert seen.of("stdout") == ["one", "two"]


@pytest.mark.slow
def test_a_long_line_is_one(fork: Any, seen: Seen) -> None:
    run(fork, seen, tasks.say, "é" * (1 << 20)).close()
    assert [len(line.text) for line in seen] == [1 << 20]
    assert seen[0].text == "é" * (1 << 20)


def test_bytes_that_are_no_text_do_no_harm(fork: Any, seen: Seen) -> None:
    euro = "€".encode()
    garbage = bytes(byte for byte in range(256) if byte != 10)
    run(fork, seen, tasks.write, euro[:1], euro[1:] + b"\n", b"\xff\xfe\0\n", garbage + b"\r\n", euro[:2]).close()
    assert seen.of("stdout") == [
        "€",
        "\\xff\\xfe\0",
        garbage.decode("utf-8", "backslashreplace") + "\r",
        "\\xe2\\x82",
    ]


def test_a_closed_stream_is_an_end(fork: Any, seen: Seen) -> None:
    run(fork, seen, tasks.close_output).close()
    assert (seen.of("stdout"), seen.of("stderr")) == (["before"], ["after"])


@pytest.mark.slow
def test_what_a_killed_process_printed_is_there(process_context: Any, seen: Seen) -> None:
    told = process_context.Value("q", -1, lock=False)
    process = process_context.Process(target=tasks.count_for_ever, args=(told,), forward_output=seen.append)
    process.start()
    wait_until(lambda: told.value > 2000, timeout=20)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    process.close()
    assert told.value < len(seen) <= told.value + 2
    assert seen.of("stdout") == [str(number) for number in range(len(seen))]


def test_who_stands_still_holds_nobody_up(fork: Any, seen: Seen) -> None:
    stopped = fork.Process(target=tasks.stop_within_a_line, name="stopped", forward_output=seen.append)
    stopped.start()
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WNOWAIT)
    run(fork, seen, tasks.say, "hello", name="other").close()
    assert [(line.process, line.text) for line in seen] == [("other", "hello")]
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.join()
    stopped.close()
    assert seen[1].text == "begin end"


def test_what_a_child_left_behind_is_heard_later(fork: Any, seen: Seen) -> None:
    read, write = os.pipe()
    process = run(fork, seen, tasks.be_many, read)
    process.close()
    assert "late" not in seen.of("stdout")
    os.close(write)
    wait_until(lambda: "late" in seen.of("stdout"))
    os.close(read)


def test_a_sibling_keeps_no_pipe_open(fork: Any, seen: Seen) -> None:
    begun, go_on = fork.Event(), fork.Event()
    sibling = fork.Process(target=tasks.chat_and_wait, args=(begun, go_on), forward_output=seen.append)
    process = fork.Process(target=tasks.say, args=("hello",), forward_output=seen.append)
    process.start()
    sibling.start()
    begun.wait()
    process.join()
    wait_until(lambda: process._source.is_over)
    process.close()
    go_on.set()
    sibling.join()
    sibling.close()


def test_a_child_forwards_for_its_own(fork: Any, capsys: Any) -> None:
    process = fork.Process(target=tasks.start_another, args=("fork",), name="outer", forward_output=True)
    process.start()
    process.join()
    process.close()
    assert capsys.readouterr().out == "[outer] [inner] hello\n"


# The parent's side


def test_what_the_parent_has_for_output_is_used(fork: Any, monkeypatch: Any, tmp_path: Path) -> None:
    """Whatever it can encode; and nothing at all, or a closed file, harm nobody."""
    with open(tmp_path / "out", "w", encoding="ascii") as file:
        monkeypatch.setattr(sys, "stdout", file)
        for _ in range(2):
            process = fork.Process(target=tasks.say, args=("a€",), name="w", forward_output=True)
            process.start()
            assert process.result() is None
            process.close()
            monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stdout", file)
    process = fork.Process(target=tasks.say, args=("b",), forward_output=True)
    process.start()
    process.join()
    assert process.output == ("b",)
    process.close()
    assert (tmp_path / "out").read_text() == "[w] a\\u20ac\n"


def test_a_function_that_raises_is_told_of(fork: Any, monkeypatch: Any) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def refuse(line: Any) -> None:
        raise ValueError(line.text)

    process = fork.Process(target=tasks.say_both, args=(1,), forward_output=refuse)
    process.start()
    assert process.result() == 1
    process.close()
    assert [str(one.exc_value) for one in told] == ["out 1", "err 1"]


def test_a_function_that_waits_for_the_waiting_ends_that(fork: Any, seen: Seen, monkeypatch: Any) -> None:
    monkeypatch.setattr(relay, "PATIENCE_S", 0.1)
    lock = threading.Lock()

    def locked(line: Any) -> None:
        with lock:
            seen.append(line)

    process = fork.Process(target=tasks.say, args=("hello",), forward_output=locked)
    with lock:
        process.start()
        began = time.monotonic()
        process.join()
        assert time.monotonic() - began >= 0.1
        assert seen == []
    wait_until(lambda: seen.of("stdout") == ["hello"])
    process.close()


def test_without_descriptors_nothing_is_started(fork: Any, seen: Seen) -> None:
    process = fork.Process(target=tasks.say, args=("hello",), name="late", forward_output=seen.append)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 4, before[1]))
    try:
        with pytest.raises(OSError, match=r"no descriptors left to forward the output of late: .*ulimit"):
            process.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    process.start()
    process.join()
    process.close()
    assert seen.of("stdout") == ["hello"]


def test_what_cannot_be_is_refused(fork: Any) -> None:
    with pytest.raises(TypeError, match="forward_output must be True, False or a function, not 'yes'"):
        fork.Process(target=tasks.say, forward_output="yes")
    threads = procession.get_context("thread")
    with pytest.raises(NotSupported, match="threads print"):
        threads.Process(target=tasks.say, forward_output=print)
    with pytest.raises(NotSupported, match="threads print"):
        threads.Pool(1, forward_output=print)


def test_threads_print_as_they_are(capsys: Any) -> None:
    context = procession.get_context("thread")
    thread = context.Process(target=tasks.say, args=("hello",), forward_output=True)
    thread.start()
    thread.join()
    with context.Pool(1, forward_output=True) as pool:
        pool.map(tasks.say, ["again"])
    pool.join()
    assert capsys.readouterr().out == "hello\nagain\n"


# Whole programs


def program(folder: Path, text: str) -> list[str]:
    path = folder / "program.py"
    path.write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{text}")
    return [sys.executable, str(path)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_outlives_its_killed_parent_for_its_moment(method: str, tmp_path: Path) -> None:
    """It meets no broken pipe: it is ended by SIGTERM, as any child of a parent that died."""
    note = tmp_path / "note"
    text = f"""
import procession, output_tasks
if __name__ == "__main__":
    child = procession.get_context({method!r}).Process(
        target=output_tasks.survive, args=({str(note)!r},), forward_output=True)
    child.start()
    child.join()
"""
    parent = subprocess.Popen(program(tmp_path, text), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    assert parent.stdout.readline().endswith(b"ready\n")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: note.exists() and note.read_text() != "", timeout=10)
    assert note.read_text() == "SIGTERM"


@pytest.mark.slow
def test_a_reader_that_leaves_stops_no_child(tmp_path: Path) -> None:
    text = """
import procession, output_tasks
if __name__ == "__main__":
    child = procession.get_context("fork").Process(target=output_tasks.count, args=(20000,), forward_output=True)
    child.start()
    child.result()
    sys.stderr.write("done\\n")
"""
    command = [*program(tmp_path, text)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline().endswith(b"] 0 \n")
    parent.stdout.close()
    assert parent.stderr is not None
    with parent.stderr:
        assert b"\ndone\n" in parent.stderr.read()
    parent.wait()


@pytest.mark.slow
def test_everything_is_printed_before_the_program_ends(tmp_path: Path) -> None:
    text = """
import procession, output_tasks
if __name__ == "__main__":
    for place in range(3):
        child = procession.get_context("fork").Process(target=output_tasks.count, args=(2000,), forward_output=True)
        child.start()
"""
    ended = subprocess.run(program(tmp_path, text), capture_output=True, text=True, timeout=50, check=True)
    assert (len(ended.stdout.splitlines()), len(ended.stderr.splitlines())) == (6000, 3000)


@pytest.mark.slow
def test_run_forwards_for_an_unmodified_program(tmp_path: Path) -> None:
    text = """
import multiprocessing, output_tasks
if __name__ == "__main__":
    with multiprocessing.Pool(1) as pool:
        print(pool.map(output_tasks.say_both, [1, 2]))
"""
    _, path = program(tmp_path, text)
    command = [sys.executable, "-m", "procession", "run", "--forward-output", path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert re.fullmatch(r"(\[\w+-1\] )out 1\n\1out 2\n\[1, 2\]\n", ended.stdout)
    assert re.fullmatch(r"(\[\w+-1\] )err 1\n\1err 2\n", ended.stderr)


# One pipe by itself


def test_a_line_without_measure_comes_in_pieces(monkeypatch: Any) -> None:
    monkeypatch.setattr(channels, "LINE_BYTES", 10)
    channel = Text("stdout", -1, b"t" * 16)
    assert [channel.cut(part) for part in (b"a" * 10, b"b", b"c" * 9, b"d\ne\nf")] == [
        [],
        ["a" * 10 + "b"],
        [],
        ["c" * 9 + "d", "e"],
    ]
    assert channel.rest() == ["f"]
    assert channel.rest() == []


def test_signs_are_found_wherever_reading_stops() -> None:
    token = b"t" * 16
    whole = b"a\0\0" + token + b"12\0b\n\0" + token + b"13\0\0" + token + b"14\0c\0x\0" + token + b"15\0"
    expected = {12: b"b\n", 14: b"c\0x"}
    for first, second in itertools.combinations(range(len(whole) + 1), 2):
        channel, found = Text("stdout", -1, token), dict[int, bytes]()
        for part in (whole[:first], whole[first:second], whole[second:]):
            for turn, _, data in channel.pieces(part) if part else ():
                found[turn] = found.get(turn, b"") + data
        assert {turn: data for turn, data in found.items() if data} == {0: b"a\0", **expected}
        assert channel.turn == 15
