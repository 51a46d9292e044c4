"""`_recording`: what the recorder wrote is read, whole or damaged, while it is written or after."""

import os
import struct
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from procession import _recording
from procession._recording import Recording, read
from procession.errors import NotARecording

CUSTOM = 200  # a kind that nobody else writes


def run(directory: Path, code: str, what: int = 1, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code with the recording on; it is a program of its own."""
    begin = f"from procession import _native, _recording\n_recording.begin({str(directory)!r}, {what})\n"
    environment = {**os.environ, "PYTHONWARNINGS": "error", **environment}
    program = [sys.executable, "-c", begin + textwrap.dedent(code)]
    return subprocess.run(program, capture_output=True, text=True, env=environment, timeout=50)


def custom(directory: Path, order: Any = "time") -> list[_recording.Record]:
    return [record for record in read(directory, order) if record.kind == CUSTOM]


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        f"""
        def here():
            _native.record({CUSTOM}, 640, 1, -2, flags=3, ticket=True, stack=True, arena=7, extra=8)
        here()
        _native.record({CUSTOM}, label="two\\nlines\\\\n")
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second = custom(tmp_path)
    assert (first.object, first.a, _recording.signed(first.b), first.flags) == (640, 1, -2, 3)
    assert (first.arena, first.extra, first.ticket, second.ticket) == (7, 8, 1, 0)
    assert [frame.split(" in ")[1] for frame in first.stack] == ["here", "<module>"]
    assert (first.site, second.site, second.stack) == (first.stack[0], "two\nlines\\n", ())
    assert first.time <= second.time
    assert first.pid == second.pid
    assert first.thread == first.pid


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_every_start_method_write_files_of_their_own(tmp_path: Path, method: str) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os
            import procession
            from procession import _native

            def target(most):
                _native.record({CUSTOM}, a=os.getpid(), b=os.getppid(), ticket=True)
                if most:
                    child = procession.get_context({method!r}).Process(target=target, args=(most - 1,))
                    child.start()
                    child.join()
                    _native.record({CUSTOM}, a=os.getpid(), b=os.getppid(), ticket=True)

            if __name__ == "__main__":
                target(2)
            """
        )
    )
    directory = tmp_path / "recording"
    directory.mkdir()
    run(directory, "")
    environment = {**os.environ, _recording.VARIABLE: str(directory)}
    subprocess.run([sys.executable, script], env=environment, check=True, timeout=50)
    records = custom(directory, "ticket")
    assert all(record.pid == record.a for record in records)
    pids = [record.pid for record in records]
    assert len(set(pids)) == 3
    assert pids == [*pids[:3], pids[1], pids[0]]
    assert [record.ticket for record in records] == [1, 2, 3, 4, 5]
    assert [record.time for record in custom(directory)] == sorted(record.time for record in records)


def test_tickets_order_what_has_none_by_its_thread(tmp_path: Path) -> None:
    run(tmp_path, f"for a in range(6): _native.record({CUSTOM}, a=a, ticket=a in (2, 4))")
    assert [(record.a, record.ticket) for record in custom(tmp_path, "ticket")] == [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 0),
        (4, 2),
        (5, 0),
    ]


def test_an_unfinished_record_and_half_a_label_are_passed_over(tmp_path: Path) -> None:
    run(tmp_path, f"for a in range(3): _native.record({CUSTOM}, a=a, label=f'text {{a}}')")
    [file] = Recording(tmp_path).files()
    data = bytearray(file.path.read_bytes())
    place = next(at for at in range(64, len(data), 64) if struct.unpack_from("<H", data, at + 20)[0] == CUSTOM)
    struct.pack_into("<Q", data, place + 64 + 16, 0)  # of the second, the word that is stored last
    file.path.write_bytes(data + b"half a record")
    labels = file.path.with_suffix(".labels")
    labels.write_bytes(labels.read_bytes()[:-1])
    assert [(record.a, record.site) for record in custom(tmp_path)] == [(0, "text 0"), (2, "")]


def test_what_is_no_recording_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotARecording, match="no recording of procession's"):
        read(tmp_path)
    with pytest.raises(NotARecording, match="no recording of procession's"):
        read(tmp_path / "nowhere")
    (tmp_path / "header").write_bytes(b"x" * 4096)
    with pytest.raises(NotARecording, match="damaged"):
        read(tmp_path)
    (tmp_path / "header").unlink()
    run(tmp_path, "")
    header = bytearray((tmp_path / "header").read_bytes())
    struct.pack_into("<I", header, 8, 2)
    (tmp_path / "header").write_bytes(header)
    with pytest.raises(NotARecording, match="format 2; this one reads format 1"):
        read(tmp_path)


def test_an_empty_recording_has_no_records(tmp_path: Path) -> None:
    run(tmp_path, "")
    (tmp_path / "1-2.records").write_bytes(b"")
    (tmp_path / "no-number.records").write_bytes(b"")
    recording = Recording(tmp_path)
    assert (recording.what, recording.dropped, recording.shortfall()) == (1, 0, "")
    assert list(recording.read("file")) == list(recording.read("ticket")) == list(recording.read()) == []


def test_a_limit_is_kept_and_told(tmp_path: Path) -> None:
    code = f"for a in range(5000): _native.record({CUSTOM}, a=a)"
    done = run(tmp_path, code, **{_recording.LIMIT_VARIABLE: "128 KiB"})
    assert done.returncode == 0
    assert "limit of 131072 bytes" in done.stderr
    assert done.stderr.count("\n") == 1
    recording = Recording(tmp_path)
    assert len(custom(tmp_path)) + recording.dropped == 5000
    assert recording.shortfall().startswith(f"{recording.dropped} records had no place")
    done = run(tmp_path, "", **{_recording.LIMIT_VARIABLE: "much"})
    assert done.returncode == 1
    assert "PROCESSION_RECORD_LIMIT must be a size" in done.stderr


def test_a_full_disk_ends_the_recording_and_not_the_program(small_disk: Path) -> None:
    done = run(small_disk, f"for a in range(30000): _native.record({CUSTOM}, a=a)\nprint('done')")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1
    recording = Recording(small_disk)
    assert len(custom(small_disk)) + recording.dropped == 30000
    assert "No space left" in recording.shortfall()


def test_a_directory_that_is_gone_does_not_stop_a_program(tmp_path: Path) -> None:
    environment = {**os.environ, _recording.VARIABLE: str(tmp_path / "gone")}
    command = [sys.executable, "-c", "from procession import _native; print(_native.recording())"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=50)
    assert (done.returncode, done.stdout) == (0, "0\n")
    assert "nothing is recorded in" in done.stderr


def test_a_site_is_the_innermost_line_of_the_users(tmp_path: Path) -> None:
    code = f"""
        import threading
        def target():
            _native.record({CUSTOM})
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()
        class Ends:
            def __del__(self):
                _native.record({CUSTOM}, stack=True)
        Ends()
        """
    run(tmp_path, code)
    thread, ended = custom(tmp_path)
    assert thread.site == "<string>:6 in target"
    assert thread.thread != thread.pid
    assert ended.stack == ("<string>:12 in __del__", "<string>:13 in <module>")
