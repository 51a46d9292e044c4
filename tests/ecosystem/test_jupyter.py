"""A real Jupyter kernel: functions typed in a cell work with Pool and Process under every start method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ipykernel", reason="ipykernel is not installed")
manager = pytest.importorskip("jupyter_client.manager", reason="jupyter_client is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.watchdog(100)]

TIMEOUT_S = 30


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    running, client = manager.start_new_kernel(startup_timeout=60)
    yield client
    client.stop_channels()
    running.shutdown_kernel(now=True)


def run(kernel: Any, cell: str) -> str:
    """What a cell prints. Fails with its traceback if it raises."""
    printed: list[str] = []

    def output(message: Any) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])
        elif message["msg_type"] == "error":
            printed.append("\n".join(message["content"]["traceback"]))

    reply = kernel.execute_interactive(cell, timeout=TIMEOUT_S, output_hook=output)
    assert reply["content"]["status"] == "ok", "".join(printed)
    return "".join(printed)


@pytest.fixture
def method(request: pytest.FixtureRequest, kernel: Any) -> str:
    run(kernel, f"import procession\ncontext = procession.get_context({request.param!r})")
    return str(request.param)


METHODS = pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"], indirect=True)


@METHODS
def test_a_pool_calls_functions_typed_in_cells(kernel: Any, method: str) -> None:
    run(kernel, "offset = 10\ndef shifted(x):\n    return x + offset\n")
    cell = """
with context.Pool(2) as pool:
    print(pool.map(shifted, range(4)))
    print(pool.map(lambda x: -x, [1]))
"""
    assert run(kernel, cell).splitlines() == ["[10, 11, 12, 13]", "[-1]"]
    run(kernel, "def shifted(x):\n    return 100 * x\n")  # typed again
    assert run(kernel, cell).splitlines()[0] == "[0, 100, 200, 300]"


@METHODS
def test_a_process_runs_a_function_typed_in_a_cell(kernel: Any, method: str) -> None:
    run(kernel, "def answer(queue, number):\n    queue.put(number * 2)\n    return 'done'\n")
    cell = """
queue = context.Queue()
process = context.Process(target=answer, args=(queue, 21))
process.start()
print(queue.get(timeout=20), process.result(20))
process.join()
queue.close()
"""
    assert run(kernel, cell) == "42 done\n"


@METHODS
def test_instances_of_a_class_typed_in_a_cell(kernel: Any, method: str) -> None:
    cell = """
class Point:
    def __init__(self, x):
        self.x = x
def moved(point):
    return point.x + 1
"""
    run(kernel, cell)
    assert run(kernel, "with context.Pool(1) as pool:\n    print(pool.map(moved, [Point(1), Point(2)]))") == "[2, 3]\n"


def test_joblib_in_a_cell(kernel: Any) -> None:
    pytest.importorskip("joblib", reason="joblib is not installed")
    cell = """
import procession.joblib
from joblib import Parallel, delayed
def half(x):
    return x / 2
print(Parallel(n_jobs=2, backend="procession")(delayed(half)(i) for i in range(4)))
procession.joblib.shutdown()
"""
    assert run(kernel, cell) == "[0.0, 0.5, 1.0, 1.5]\n"


BARS = """
import time
from procession import progress
def slow(x):
    time.sleep(0.01)
    return x
with context.Pool(2) as pool:
    pool.map(slow, range(100), progress="a <title>")
    pool.map_async(slow, range(60), progress="beside").get()
    list(pool.imap(slow, range(10), progress=True))
    progress.write("written")
"""


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_bars_in_a_cell(kernel: Any, method: str) -> None:
    shown: dict[str, list[dict[str, str]]] = {}
    printed: list[str] = []

    def output(message: Any) -> None:
        content = message["content"]
        if message["msg_type"] in ("display_data", "update_display_data"):
            shown.setdefault(content["transient"]["display_id"], []).append(content["data"])
        elif message["msg_type"] in ("stream", "error"):
            printed.append(content.get("text", str(content)))

    reply = kernel.execute_interactive(BARS, timeout=TIMEOUT_S, output_hook=output)
    assert reply["content"]["status"] == "ok", printed
    assert printed == ["written\n"]
    first, second, third = shown.values()
    assert len(first) >= 3, "it moves"
    assert "0/100" in first[0]["text/plain"]
    assert first[-1]["text/plain"].startswith("a <title> ━")
    assert " 100%  100/100  " in first[-1]["text/plain"]
    assert 'a &lt;title&gt; <progress value="1.0000" max="1"' in first[-1]["text/html"]
    assert "60/60" in second[-1]["text/plain"]
    assert third[-1]["text/plain"].startswith("slow ━")


@pytest.mark.parametrize("method", ["fork"], indirect=True)
def test_tqdm_for_notebooks(kernel: Any, method: str) -> None:
    cell = """
from tqdm.notebook import tqdm
with context.Pool(2) as pool:
    print(sum(pool.map(abs, range(10), progress=tqdm)))
"""
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    assert run(kernel, cell).endswith("45\n")
