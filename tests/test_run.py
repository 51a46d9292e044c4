"""`procession run`: a program ends, prints and sees what it does under `python`, and its multiprocessing is ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from procession.testing import wait_until

LAUNCHER = [sys.executable, "-m", "procession", "run"]
TIMEOUT_S = 50
METHODS = ["fork", "spawn", "forkserver"]

LOOK = """
import sys
print(sys.argv, sys.path[:2], __name__, sys.modules["__main__"].__dict__ is globals())
print(sorted(name for name in globals() if name != "__annotations__"), __package__, __builtins__)
print(globals().get("__file__"), globals().get("__cached__"), type(__loader__), getattr(__spec__, "name", None))
print(sys.modules["__mp_main__"] is sys.modules["__main__"] if "multiprocessing" in sys.modules else True)
"""
RAISE = """
import atexit
atexit.register(print, "left")
def inner(): raise ValueError("a reason")
try: inner()
except ValueError as error: raise LookupError from error
"""
EXIT = """
import sys, atexit, threading
atexit.register(print, "at exit")
late = threading.Timer(0.05, print, ["late"])
late.start()
sys.stdout.write("no end of line")
sys.exit(eval(sys.argv[1]))
"""
HOOK = """
import sys, traceback
def hook(kind, value, tb):
    traceback.print_exception(value)
    print(kind, tb.tb_frame.f_code.co_name, value.__traceback__ is tb)
sys.excepthook = hook
1 / 0
"""


def run(
    launcher: list[str], arguments: list[str], directory: Path, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*launcher, *arguments], cwd=directory, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_S
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with programs of every form."""
    files = {"look.py": LOOK, "raises.py": RAISE, "exits.py": EXIT, "hook.py": HOOK, "syntax.py": "if:\n"}
    files |= {"interrupted.py": "print(1)\nraise KeyboardInterrupt\n", "bytes.py": "# coding: latin-1\nprint('é')\n"}
    files |= {"kit/__init__.py": "", "kit/__main__.py": LOOK, "kit/part.py": LOOK, "empty/other.py": ""}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="latin-1")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("__main__.py", LOOK)
    (tmp_path / "link.py").symlink_to(tmp_path / "kit" / "part.py")
    return tmp_path


SAME = {
    "script": ["look.py", "a", "-m", "--context"],
    "script with a path": ["./look.py"],
    "link": ["link.py"],
    "module": ["-m", "look", "-c"],
    "module in one word": ["-mlook"],
    "package": ["-m", "kit", "x"],
    "submodule": ["-m", "kit.part"],
    "directory": ["kit", "x"],
    "zip": ["packed.zip", "x"],
    "code": ["-c", LOOK, "x"],
    "source encoding": ["bytes.py"],
    "error": ["raises.py"],
    "error in a module": ["-m", "raises"],
    "error in code": ["-c", "import raises"],
    "syntax": ["syntax.py"],
    "syntax in code": ["-c", "if:"],
    "hook": ["hook.py"],
    "interrupt": ["interrupted.py"],
    "exit 0": ["exits.py", "0"],
    "exit None": ["exits.py", "None"],
    "exit 7": ["exits.py", "7"],
    "exit with a message": ["exits.py", "'wrong'"],
    "exit with an object": ["exits.py", "[1]"],
    "no such file": ["missing.py"],
    "no such module": ["-m", "missing"],
    "no __main__": ["empty"],
    "no __main__ in the package": ["-m", "json"],
}


@pytest.mark.slow
@pytest.mark.parametrize("arguments", SAME.values(), ids=SAME.keys())
def test_is_as_under_python(place: Path, arguments: list[str]) -> None:
    expected, got = (run(launcher, arguments, place) for launcher in ([sys.executable], LAUNCHER))
    assert (got.stdout, got.stderr, got.returncode) == (expected.stdout, expected.stderr, expected.returncode)
    assert got.stdout or got.stderr


@pytest.mark.slow
def test_standard_input_is_a_program(place: Path) -> None:
    expected, got = (run(launcher, ["-", "x"], place, LOOK) for launcher in ([sys.executable], LAUNCHER))
    assert (got.stdout, got.stderr, got.returncode) == (expected.stdout, expected.stderr, expected.returncode)


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["-P", "-I"])
def test_safe_path_is_respected(place: Path, flag: str) -> None:
    expected = run([sys.executable, flag], ["look.py"], place)
    got = run([sys.executable, flag, *LAUNCHER[1:]], ["look.py"], place)
    assert (got.stdout, got.stderr, got.returncode) == (expected.stdout, expected.stderr, expected.returncode)


def asleep(pid: int) -> bool:
    """Whether a process waits, so that a signal finds it where it means to be."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@pytest.mark.slow
def test_interrupt_from_outside_ends_it_as_python(place: Path) -> None:
    text = "import signal\nprint('ready', flush=True); signal.pause()\n"
    codes = []
    for launcher in ([sys.executable], LAUNCHER):
        with subprocess.Popen(
            [*launcher, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
            wait_until(lambda: asleep(program.pid))
            program.send_signal(signal.SIGINT)
            _, stderr = program.communicate(timeout=TIMEOUT_S)
            codes.append((program.returncode, stderr))
    assert codes[0] == codes[1]
    assert codes[0][0] in (-signal.SIGINT, 128 + signal.SIGINT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to run"),
        (["-m"], "nothing to run after -m"),
        (["--context"], "no name after --context"),
        (["--context", "teleport", "x.py"], "no start method is called 'teleport'; there are fork"),
        (["--faster", "x.py"], "no option --faster"),
        (["--contxt", "fork", "x.py"], "no option --contxt; did you mean --context?"),
        (["--forward-output=1", "x.py"], "--forward-output takes no value"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], message: str) -> None:
    ended = run(LAUNCHER, arguments, tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert ended.stderr.startswith("procession run: ")
    assert ended.stderr.endswith("\nSee: procession run --help\n")


def test_a_file_that_is_no_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "picture.py").write_bytes(b"GIF89a\n\0\0")
    ended = run(LAUNCHER, ["picture.py"], tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f'  File "{tmp_path / "picture.py"}", line 2',
        "SyntaxError: source code cannot contain null bytes",
    ]


def test_help(tmp_path: Path) -> None:
    ended = run(LAUNCHER, ["--help"], tmp_path)
    assert ended.returncode == 0
    assert "--context" in ended.stdout


# Its multiprocessing is ours

PROGRAM = """
import multiprocessing, multiprocessing.pool, sys, os
from multiprocessing import Process, Queue

NAME = __name__

def child(queue, depth):
    made = [type(multiprocessing.Lock()), type(multiprocessing.get_context().Queue()), Process]
    found = sys.modules[child.__module__]
    queue.put((depth, multiprocessing.get_start_method(), [one.__module__ for one in made], NAME, found.NAME))
    if depth:
        grandchild = Process(target=child, args=(queue, depth - 1))
        grandchild.start()
        grandchild.join()

def main(method):
    multiprocessing.set_start_method(method)
    queue = Queue()
    started = Process(target=child, args=(queue, 1))
    started.start()
    print(queue.get(timeout=20), queue.get(timeout=20))
    started.join()
    print(started.exitcode, multiprocessing.pool.Pool.__module__)
    with multiprocessing.Pool(2) as pool:
        print(pool.map(abs, [-1, 2]))

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", ["script", "module"])
def test_children_of_every_kind_stand_on_procession(tmp_path: Path, method: str, form: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    ended = run(LAUNCHER, ["program.py", method] if form == "script" else ["-m", "program", method], tmp_path)
    assert ended.returncode == 0, ended.stderr
    ours = ["procession.synchronize", "procession.queues", "procession.context"]
    name = "__main__" if method == "fork" else "__mp_main__"
    expected = [(1, method, ours, name, name), (0, method, ours, name, name)]
    assert ended.stdout == f"{expected[0]} {expected[1]}\n0 procession.pool\n[1, 2]\n"
    assert ended.stderr == ""


@pytest.mark.slow
def test_context_is_the_start_method(tmp_path: Path) -> None:
    text = "import multiprocessing, os; print(multiprocessing.get_start_method())"
    for method in [*METHODS, "thread"]:
        assert run(LAUNCHER, ["--context", method, "-c", text], tmp_path).stdout == f"{method}\n"
    assert run(LAUNCHER, ["--context=spawn", "-c", text], tmp_path).stdout == "spawn\n"


UNGUARDED = """
import multiprocessing, os, sys
print("main", flush=True)
multiprocessing.set_start_method(sys.argv[1], force=True)
"""
WAYS = {
    "Process": "p = multiprocessing.Process(target=print); p.start(); p.join(); sys.exit(p.exitcode)",
    "Pool": "with multiprocessing.Pool(2) as pool: pool.map(abs, [1])",
    "Manager": "multiprocessing.Manager()",
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("way", sorted(WAYS))
def test_missing_guard_is_explained_and_no_storm(tmp_path: Path, method: str, way: str) -> None:
    (tmp_path / "unguarded.py").write_text(UNGUARDED + WAYS[way] + "\n")
    ended = run(LAUNCHER, ["unguarded.py", method], tmp_path)
    assert ended.returncode == 1
    assert 'if __name__ == "__main__":' in ended.stderr
    assert ended.stdout.count("main") <= 8  # the program, the fork server, and the few workers that a pool tries


@pytest.mark.slow
def test_an_unguarded_program_under_fork_runs(tmp_path: Path) -> None:
    (tmp_path / "unguarded.py").write_text(UNGUARDED + WAYS["Pool"] + "\n")
    assert run(LAUNCHER, ["unguarded.py", "fork"], tmp_path).returncode == 0


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    heavy = ("argparse", "typing", "ctypes", "tempfile", "subprocess", "procession._native", "multiprocessing.pool")
    text = f"import sys; print([name for name in {heavy} if name in sys.modules])"
    environment = {**os.environ, "PYTHONNOUSERSITE": "1"}
    ended = subprocess.run(
        [sys.executable, "-S", "-c", textwrap.dedent(f"""
            import sys; sys.path[:0] = {sys.path!r}
            import procession.cli; procession.cli.main(["run", "-c", {text!r}])
        """)],
        capture_output=True, text=True, timeout=TIMEOUT_S, env=environment, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert ended.stdout == "[]\n"
