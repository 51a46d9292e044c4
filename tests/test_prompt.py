"""Functions and classes typed at a prompt, or read from standard input, in processes of every start method."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import textwrap

import pytest

import procession
from procession import _prompt

pytest.importorskip("cloudpickle")
pytestmark = pytest.mark.watchdog(60)

METHODS = ["fork", "spawn", "forkserver"]


def run(program: str, *arguments: str, interactive: bool = False) -> str:
    """What a program given on standard input prints, its own prompts left out."""
    command = [sys.executable, *(["-i"] if interactive else []), "-", *arguments]
    done = subprocess.run(command, input=textwrap.dedent(program), capture_output=True, text=True, timeout=50)
    assert "Error" not in done.stderr, done.stderr
    return done.stdout


CLASSES = """\
import procession, sys, threading
context = procession.get_context(sys.argv[1])
class Known:
    lock = threading.Lock() if sys.argv[1] == "fork" else None
    def __init__(self, value): self.value = value
    def up(self): return Known(self.value + 1)

pool = context.Pool(2)
class Later(Known): pass

class Refused(Exception): pass

def wrap(thing): return Later(thing)

def refuse(thing): raise Refused(thing.value)

(known,) = pool.map(Known.up, [Known(1)])
print(type(known) is Known, known.value, known.up().value)
later = pool.apply(wrap, (Later(5),))
print(type(later) is Later, type(later.value) is Later, later.value.value)
print(pool.apply(lambda thing: isinstance(thing, Known), (Later(0),)))
print(Later.up is Known.up, Known.up.__globals__ is globals())
result = pool.apply_async(refuse, (Known(7),))
result.wait()
print(type(result._value) is Refused, result._value)
def local():
    class Local: pass
    return Local()

print([type(thing).__name__ for thing in pool.imap(lambda _: local(), range(2))])
print(pool.map_reduce(lambda n: n, range(10), lambda a, b: a + b), list(pool.starmap(lambda a, b: a * b, [(2, 3)])))
print(dict(pool.map_reduce_by_key(lambda word: [len(word)], ["a", "bb", "cc"], "count")))
pool.terminate()
pool.join()
"""
ANSWERS = """\
True 2 3
True True 5
True
True True
True 7
['Local', 'Local']
45 [6]
{1: 1, 2: 2}
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_at_the_prompt(method: str) -> None:
    assert run(CLASSES, method, interactive=True) == ANSWERS


def test_a_pool_in_a_program_from_standard_input() -> None:
    assert run(CLASSES, "spawn") == ANSWERS


@pytest.mark.parametrize("method", METHODS)
def test_processes_at_the_prompt(method: str) -> None:
    program = """\
    import procession, sys
    context = procession.get_context(sys.argv[1])
    class Thing:
        def __init__(self, value): self.value = value

    def work(thing, queue):
        queue.put(Thing(thing.value + 1))
        return Thing(2 * thing.value)

    class Own(context.Process):
        def run(self): return Thing(self.name)

    queue = context.Queue()
    processes = [context.Process(target=work, args=(Thing(3), queue)), context.Process(target=lambda: 5)]
    processes.append(Own(name="me"))
    for process in processes: process.start()

    results = [process.result() for process in processes]
    print(type(results[0]) is Thing, results[0].value, results[1], results[2].value, queue.get(timeout=20).value)
    """
    assert run(program, method, interactive=True) == "True 6 5 me 4\n"


def test_large_arrays_of_a_class_from_the_prompt() -> None:
    pytest.importorskip("numpy")
    program = """\
    import numpy, procession
    class Holder:
        def __init__(self, array): self.array = array

    with procession.get_context("spawn").Pool(1) as pool:
        back = pool.apply(lambda holder: Holder(2 * holder.array), (Holder(numpy.arange(100_000)),))
    print(int(back.array.sum()), type(back).__name__)
    """
    assert run(program) == "9999900000 Holder\n"


def test_functions_typed_behind_a_script(tmp_path: os.PathLike[str]) -> None:
    script = os.path.join(tmp_path, "script.py")
    with open(script, "w") as file:
        file.write("import procession\n")
    typed = 'def triple(n): return 3 * n\n\nprint(procession.get_context("spawn").Pool(1).map(triple, [1]))\nexit()\n'
    done = subprocess.run([sys.executable, "-i", script], input=typed, capture_output=True, text=True, timeout=50)
    assert done.stdout == "[3]\n", done.stderr


def test_a_real_terminal() -> None:
    """The prompt as people see it: under a terminal the interpreter reads line by line."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-q", "-i"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    lines = [
        "import procession",
        "double = lambda n: 2 * n",
        'pool = procession.get_context("spawn").Pool(1)',
        "print(pool.map(double, [1, 2]))",
        "pool.terminate(); pool.join()",
        "exit()",
    ]
    os.write(ours, ("\n".join(lines) + "\n").encode())
    assert program.stdout is not None
    try:
        assert "[2, 4]" in program.stdout.read()
    finally:
        program.wait()
        program.stdout.close()
        os.close(ours)


def test_without_cloudpickle_the_error_names_it() -> None:
    program = """\
    import sys
    sys.modules["cloudpickle"] = None
    import procession
    class Thing: pass

    with procession.get_context("spawn").Pool(1) as pool:
        try: pool.apply(repr, (Thing(),))
        except AttributeError as error: print("install cloudpickle" in str(error), "'Thing'" in str(error))
    """
    assert run(program) == "True True\n"


def test_what_an_argument_lacks_is_still_named() -> None:
    program = """\
    import procession, threading
    with procession.get_context("fork").Pool(1) as pool:
        lock = threading.Lock()
        for call in (lambda: pool.apply(repr, (1, {"k": lock})), lambda: pool.map(repr, [1, lock])):
            try: call()
            except TypeError as error: print(error.path, "cannot pickle '_thread.lock' object" in str(error))
    """
    assert run(program) == "args[1]['k'] True\nitems[1] True\n"


def test_nothing_of_this_touches_programs_in_files() -> None:
    assert not _prompt.main_is_typed_in()
    assert not _prompt.is_typed_in(run)
    with procession.get_context("fork").Pool(1) as pool:
        assert pool._core.engine.wrap is None
        assert pool.apply(loaded) == [False, False]
    pool.join()


def loaded() -> list[bool]:
    from multiprocessing import reduction

    return [reduction.ForkingPickler.__module__ != "multiprocessing.reduction", _prompt._classes != {}]
