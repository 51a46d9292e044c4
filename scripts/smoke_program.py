"""What a fresh installation must be able to do. `scripts/smoke.py` runs it outside the repository, with `-I`, so that
nothing but the installed package can be found:  python -I smoke_program.py VERSION"""

from __future__ import annotations

import importlib
import json
import operator
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import procession

COMMAND = [str(Path(sys.executable).parent / "procession")]
OPTIONAL = {"procession.joblib", "procession.pytest_plugin", "procession.__main__"}  # need other packages, or run
PATIENCE_S = 600  # an emulated processor on a busy machine takes minutes to start a process
RUN_ME = """
import multiprocessing
def double(x):
    return 2 * x
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print(multiprocessing.__name__, type(pool).__module__, pool.map(double, [1, 2, 3]))
"""


def double(number: int) -> int:
    return 2 * number


def digits(number: int) -> list[str]:
    return list(str(number))


def work(queue: Any, lock: Any, value: Any, rounds: int) -> str:
    """The child's side: everything it is given is shared."""
    for _ in range(rounds):
        with lock:
            value.value += 1
    queue.put({"from": "child", "bytes": b"x" * 100_000})
    return "returned"


def check_names(expected: str) -> None:
    assert procession.__version__ == expected, f"version {procession.__version__}, not {expected}"
    for name in procession.__all__:
        assert getattr(procession, name) is not None, name
    found = [module.name for module in pkgutil.walk_packages(procession.__path__, "procession.")]
    modules = [name for name in found if not any(name.startswith(prefix) for prefix in OPTIONAL)]
    imported = 0
    for name in modules:
        try:
            importlib.import_module(name)
            imported += 1
        except ImportError as error:  # an optional package that is not there is named; nothing else may be missing
            if error.name is None or error.name.startswith("procession"):
                raise
    print(f"names: {len(procession.__all__)} public, {imported} of {len(modules)} modules without extras")


def check_method(method: str) -> None:
    context = procession.get_context(method)
    queue, lock, value = context.Queue(), context.Lock(), context.Value("i", 0, lock=False)
    children = [context.Process(target=work, args=(queue, lock, value, 100)) for _ in range(2)]
    for child in children:
        child.start()
    got = [queue.get(timeout=PATIENCE_S) for _ in children]
    assert [len(item["bytes"]) for item in got] == [100_000, 100_000]
    assert [child.result() for child in children] == ["returned", "returned"]
    assert value.value == 200, value.value
    with context.Pool(2) as pool:
        assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
        assert pool.map_reduce(double, range(5), operator.add) == 20
        assert pool.map_reduce_by_key(digits, [1, 11, 12], reduce="count")["1"] == 4
    print(f"{method}: Process, Queue, Lock, Value, Pool")


def run(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, f"procession {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}"
    return done.stdout


def check_commands(expected: str) -> None:
    assert run("--version").split() == ["procession", expected]
    assert "Python" in run("doctor")
    Path("run_me.py").write_text(RUN_ME)
    assert run("run", "run_me.py").split()[-3:] == ["[2,", "4,", "6]"]
    assert "procession" in run("run", "run_me.py"), "the pool was the standard library's"
    Path("text.txt").write_text("one two two three three three\n" * 1000)
    counted = run("mapreduce", "wordcount", "text.txt", "--format", "json")
    assert "3000" in counted, counted
    assert json.loads(run("ps", "--json")) is not None
    print("commands: --version, doctor, run, mapreduce, ps")


def main() -> None:
    [expected] = sys.argv[1:]
    check_names(expected)
    for method in ("fork", "spawn", "forkserver", "thread"):
        check_method(method)
    check_commands(expected)


if __name__ == "__main__":
    main()
