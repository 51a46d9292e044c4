"""Ctrl-C, at a terminal: one traceback, a prompt end, nobody left."""

import signal
from pathlib import Path

import pytest
from commands import left_behind
from terminal import INTERRUPT, Terminal

from procession.testing import wait_until

BEGIN = """
import procession, time

def initialize(begun):
    global told
    told = begun

def task(number):
    told.put(number)
    time.sleep(600)

def wait(begun, queue):
    begun.put(0)
    queue.get()

def map_in_pool(begun, method):
    with procession.get_context(method).Pool(2, initialize, (begun,)) as pool:
        pool.map(task, range(4), 1)

def ready(begun, count):
    for _ in range(count):
        begun.get()
    print("ready", flush=True)

if __name__ == "__main__":
    method = METHOD
    context = procession.get_context(method)
    begun = context.Queue()
"""
PROGRAMS = {
    "join": """
    children = [context.Process(target=wait, args=(begun, context.Queue())) for _ in range(3)]
    for child in children:
        child.start()
    ready(begun, 3)
    for child in children:
        child.join()
""",
    "pool": """
    with context.Pool(2, initialize, (begun,)) as pool:
        result = pool.map_async(task, range(4), 1)
        ready(begun, 2)
        result.get()
""",
    "executor": """
    with procession.Executor(2, context=context, initializer=initialize, initargs=(begun,)) as executor:
        results = executor.map(task, range(4))
        ready(begun, 2)
        list(results)
""",
    "executor without a block": """
    executor = procession.Executor(2, context=context, initializer=initialize, initargs=(begun,))
    results = executor.map(task, range(4))
    ready(begun, 2)
    list(results)
""",
    "a pool in a process": """
    child = context.Process(target=map_in_pool, args=(begun, method))
    child.start()
    ready(begun, 2)
    child.join()
""",
    "starting": """
    print("ready", flush=True)
    while True:
        context.Process(target=wait, args=(begun, context.Queue())).start()
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_ctrl_c_ends_the_family_with_one_traceback(name: str, method: str, tmp_path: Path) -> None:
    program = Terminal(BEGIN.replace("METHOD", repr(method)) + PROGRAMS[name], tmp_path)
    program.read_until("ready")
    program.type(INTERRUPT)
    assert program.finish() in (-signal.SIGINT, 1)  # (Python forgets why it ends if something is imported then)
    assert program.text.count("Traceback") == 1, program.text
    assert program.text.splitlines()[-1] == "KeyboardInterrupt", program.text
    assert left_behind(tmp_path) == []


DEAF = """
import procession, signal, time

def ignore(begun):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    begun.put(0)
    time.sleep(600)

if __name__ == "__main__":
    context = procession.get_context(METHOD)
    begun = context.Queue()
    child = context.Process(target=ignore, args=(begun,))
    child.start()
    begun.get()
    print("ready", flush=True)
    child.join()
"""


def catches_interrupts(pid: int) -> bool:
    (caught,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) & 1 << signal.SIGINT - 1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_the_second_ctrl_c_waits_for_nobody(method: str, tmp_path: Path) -> None:
    program = Terminal(DEAF.replace("METHOD", repr(method)), tmp_path)
    program.read_until("ready")
    program.type(INTERRUPT)
    wait_until(lambda: not catches_interrupts(program.pid))  # it waits for its child now
    program.type(INTERRUPT)
    assert program.finish() == -signal.SIGINT
    assert program.text.count("Traceback") == 1, program.text
    assert left_behind(tmp_path) == []
