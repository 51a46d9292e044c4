"""Pools in whole programs: Ctrl-C, killed parents, exits, prompts, missing guards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from procession.testing import wait_until

try:
    import cloudpickle
except ImportError:
    cloudpickle = None


pytestmark = pytest.mark.watchdog(30)


def start_program(body: str, **options: Any) -> subprocess.Popen[str]:
    code = "import procession, os, sys, signal, time\n" + textwrap.dedent(body)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-c", code], **pipes, **options)


def group_is_gone(pgid: int) -> bool:
    """Whether no process of the group runs; the dead may still wait to be collected by whoever inherited them."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    state, _, group = file.read().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(group) == pgid and state != "Z":
                return False
    return True


def test_ctrl_c_gives_one_traceback_and_leaves_no_process() -> None:
    program = start_program("""
        pool = procession.get_context("fork").Pool(2)
        pool.map(abs, range(100), 1)
        result = pool.map_async(time.sleep, [60] * 4, 1)
        print("ready", flush=True)
        result.get()
    """)
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=20)
    assert errors.count("Traceback (most recent call last)") == 1, errors
    assert "KeyboardInterrupt" in errors
    wait_until(lambda: group_is_gone(program.pid))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_no_orphans_when_the_parent_is_killed(method: str) -> None:
    program = start_program(
        f"""
        pool = procession.get_context({method!r}).Pool(2)
        pool.map(abs, range(100), 1)
        print("ready", flush=True)
        sys.stdin.read()
    """,
        stdin=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.kill()
    program.communicate(timeout=20)
    wait_until(lambda: group_is_gone(program.pid))


def test_busy_forked_workers_end_with_their_parent() -> None:
    program = start_program(
        """
        pool = procession.get_context("fork").Pool(2)
        pool.map_async(time.sleep, [60] * 4, 1)
        while pool.statistics().waiting > 2:
            time.sleep(0.001)
        print("ready", flush=True)
        sys.stdin.read()
    """,
        stdin=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    program.kill()
    program.communicate(timeout=20)
    wait_until(lambda: group_is_gone(program.pid))


@pytest.mark.parametrize("context", ["fork", "thread"])
def test_a_forgotten_pool_does_not_hold_up_the_exit(context: str) -> None:
    program = start_program(f"""
        pool = procession.get_context({context!r}).Pool(2)
        pool.map_async(abs, range(1000), 1, callback=print)
        pool.apply_async(time.sleep, (60,))
    """)
    _, errors = program.communicate(timeout=20)
    assert program.returncode == 0, errors
    assert "Traceback" not in errors
    wait_until(lambda: group_is_gone(program.pid))


@pytest.mark.skipif(cloudpickle is None, reason="needs cloudpickle")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_functions_typed_at_a_prompt(method: str) -> None:
    program = start_program(f"""
        pool = procession.get_context({method!r}).Pool(1)
        def triple(number): return 3 * number
        print(pool.map(triple, [1, 2]), pool.apply(triple, (3,)))
        pool.close()
        pool.join()
    """)
    out, errors = program.communicate(timeout=20)
    assert out == "[3, 6] 9\n", errors


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_functions_read_from_standard_input(method: str) -> None:
    program = f"""if True:
        import procession, sys
        sys.modules["cloudpickle"] = None
        def triple(number): return 3 * number
        with procession.get_context({method!r}).Pool(1) as pool:
            pool.apply(triple, (3,))
    """
    done = subprocess.run([sys.executable], input=textwrap.dedent(program), capture_output=True, text=True, timeout=20)
    last = done.stderr.splitlines()[-1]
    assert "Can't get attribute 'triple'" in last, done.stderr
    assert "get_context('fork')" in last
    assert "cloudpickle" in last


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_missing_guard_is_told_once(method: str, tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(f"""\
import procession
pool = procession.get_context({method!r}).Pool(2)
print(pool.map(abs, [-1]))
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1, done.stderr
    assert "PoolBroken" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_what_workers_print_into_a_pipe_is_whole_and_not_lost(method: str, tmp_path: Path) -> None:
    script = tmp_path / "printing.py"
    script.write_text(f"""\
import procession, signal

def work(number):
    print("working on", number, end=" ")
    print("done")
    if number == 3:
        signal.raise_signal(signal.SIGKILL)

if __name__ == "__main__":
    with procession.get_context({method!r}).Pool(2) as pool:
        pool.map(work, range(4), chunksize=1, return_exceptions=True)
""")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=20, env=environment)
    assert sorted(done.stdout.splitlines()) == [f"working on {number} done" for number in range(4)], done.stderr
