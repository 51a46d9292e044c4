"""Whole programs, as users write and start them."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from procession.testing import descendants, wait_until

# Whole programs


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    return path


def execute(*arguments: Any, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=50, **options)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_missing_guard_shows_the_lines_to_write(tmp_path: Path, method: str) -> None:
    path = program(
        tmp_path,
        f"""
        import procession
        worker = procession.get_context({method!r}).Process(target=print)
        worker.start()
        worker.result()
        """,
    )
    ended = execute(path)
    assert ended.returncode == 1
    assert 'if __name__ == "__main__":' in ended.stderr
    assert "procession.errors.NotGuarded" in ended.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_program_from_standard_input(method: str) -> None:
    text = textwrap.dedent(
        f"""
        import procession, math, sys
        sys.modules["cloudpickle"] = None  # as if it were not installed
        context = procession.get_context({method!r})
        worker = context.Process(target=math.sqrt, args=(16,))
        worker.start()
        print(worker.result())
        def inner(): pass
        context.Process(target=inner).start()
        """
    )
    ended = execute(input=text)
    assert ended.stdout == "4.0\n"
    assert "MainNotImportable" in ended.stderr
    assert "standard input" in ended.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_what_standard_input_defines_goes_by_value(method: str) -> None:
    pytest.importorskip("cloudpickle")
    text = textwrap.dedent(
        f"""
        import procession
        FACTOR = 3
        def times(number): return number * FACTOR
        class Worker(procession.get_context({method!r}).Process):
            def run(self): return times(5)
        for worker in (procession.get_context({method!r}).Process(target=times, args=(4,)), Worker()):
            worker.start()
            print(worker.result())
        """
    )
    ended = execute(input=text)
    assert (ended.stdout, ended.stderr) == ("12\n15\n", "")


def test_fork_server_has_the_imports_of_main(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        import sys
        import procession
        loaded_before = "decimal" in sys.modules
        def look(): return loaded_at_import
        if __name__ == "__main__":
            import decimal
        loaded_at_import = "decimal" in sys.modules
        def seen(): return "decimal" in sys.modules, sys.modules["__main__"].__name__
        if __name__ == "__main__":
            worker = procession.get_context("forkserver").Process(target=seen)
            worker.start()
            print(worker.result())
        """,
    )
    ended = execute(path)
    assert ended.stdout == "(True, '__mp_main__')\n", ended.stderr


@pytest.mark.parametrize("end", ["killed", "regular"])
def test_fork_server_ends_with_its_program(tmp_path: Path, end: str) -> None:
    path = program(
        tmp_path,
        """
        import procession
        if __name__ == "__main__":
            worker = procession.get_context("forkserver").Process(target=print)
            worker.start()
            worker.join()
            print("ready", flush=True)
            input()
        """,
    )
    started = subprocess.Popen([sys.executable, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with started:
        assert started.stdout is not None
        assert started.stdin is not None
        assert started.stdout.readline() == "\n"
        assert started.stdout.readline() == "ready\n"
        servers = descendants(started.pid)
        assert len(servers) == 1
        if end == "killed":
            started.kill()
        else:
            started.stdin.write("\n")
            started.stdin.flush()
    wait_until(lambda: not any(alive(pid) for pid in servers))


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_no_resource_tracker_is_started(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        import sys
        import procession
        from procession.testing import descendants
        import os
        def tracked():
            tracker = sys.modules.get("multiprocessing.resource_tracker")
            return tracker is not None and tracker._resource_tracker._fd is not None
        if __name__ == "__main__":
            worker = procession.get_context("spawn").Process(target=tracked)
            worker.start()
            print(worker.result(), descendants(os.getpid()))
        """,
    )
    assert execute(path).stdout == "False []\n"


def test_exit_handlers_run_in_spawned_children(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        import atexit
        import procession
        def register(): atexit.register(print, "bye")
        if __name__ == "__main__":
            worker = procession.get_context("spawn").Process(target=register)
            worker.start()
            worker.join()
        """,
    )
    assert execute(path).stdout == "bye\n"


def test_ctrl_c_ends_everything_with_one_traceback(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        import procession, time
        def work(begun):
            try:
                begun.set()
                time.sleep(600)
            except KeyboardInterrupt:
                pass
        if __name__ == "__main__":
            begun = procession.Event()
            worker = procession.get_context("fork").Process(target=work, args=(begun,), daemon=True)
            worker.start()
            begun.wait()  # said here, not by the worker: its start may not have come back yet
            print("ready", flush=True)
            worker.result()
        """,
    )
    started = subprocess.Popen(
        [sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    os.killpg(started.pid, signal.SIGINT)
    _, stderr = started.communicate(timeout=30)
    assert stderr.count("Traceback") == 1
    with pytest.raises(ProcessLookupError):
        os.killpg(started.pid, 0)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_ctrl_c_in_parent_and_child_shows_one_traceback(tmp_path: Path, method: str) -> None:
    path = program(
        tmp_path,
        f"""
        import procession, time
        def work():
            print("ready", flush=True)
            time.sleep(600)
        if __name__ == "__main__":
            worker = procession.get_context({method!r}).Process(target=work)
            worker.start()
            worker.join()
        """,
    )
    started = subprocess.Popen(
        [sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    os.killpg(started.pid, signal.SIGINT)
    _, stderr = started.communicate(timeout=30)
    assert stderr.count("Traceback") == 1
    with pytest.raises(ProcessLookupError):
        os.killpg(started.pid, 0)
