"""tqdm around a pool's iterators, and its own map over processes."""

from __future__ import annotations

import io
import pkgutil
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

tqdm = pytest.importorskip("tqdm", reason="tqdm is not installed")

from client_tasks import square  # noqa: E402

PROCESS_MAP = """
import procession
procession.install(procession.get_context({method!r}))
from tqdm.contrib.concurrent import process_map
from client_tasks import square
if __name__ == "__main__":
    print(process_map(square, range(10), max_workers=2, chunksize=2, disable={disable}))
    print(type(procession.Lock()).__module__)
"""


@pytest.mark.parametrize("method", ["imap", "imap_unordered"])
def test_progress_of_a_pool(process_pool: Any, method: str) -> None:
    shown = io.StringIO()
    results = list(tqdm.tqdm(getattr(process_pool, method)(square, range(100)), total=100, file=shown))
    assert sorted(results) == [i * i for i in range(100)]
    assert "100/100" in shown.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_process_map(program: Callable[..., str], method: str, request: pytest.FixtureRequest) -> None:
    text = f"import sys; sys.path.insert(0, {str(request.path.parent)!r})" + PROCESS_MAP
    printed = program(text.format(method=method, disable=False)).splitlines()
    assert printed[0] == str([i * i for i in range(10)])


@pytest.mark.parametrize("bar", ["tqdm.tqdm", "tqdm.auto.tqdm", "tqdm.std.tqdm"])
def test_tqdm_as_progress(process_pool: Any, bar: str, capsys: pytest.CaptureFixture[str]) -> None:
    cls = pkgutil.resolve_name(bar)
    assert process_pool.map(square, range(100), progress=cls) == [i * i for i in range(100)]
    assert "100/100" in capsys.readouterr().err
    shown = io.StringIO()
    assert sum(process_pool.imap(square, iter(range(10)), progress=partial(cls, file=shown, desc="mine"))) == 285
    assert "mine" in shown.getvalue()
    assert "10/10" in shown.getvalue() or "10it" in shown.getvalue()


def test_a_tqdm_bar_as_progress(process_pool: Any) -> None:
    shown = io.StringIO()
    with tqdm.tqdm(total=30, file=shown) as bar:
        for start in (0, 10, 20):
            process_pool.map(square, range(start, start + 10), progress=bar)
        assert (bar.n, bar.total, bar.disable) == (30, 30, False)
    inline = tqdm.tqdm(file=shown, desc="inline")
    process_pool.map_async(square, range(10), progress=inline).get(30)
    assert (inline.n, inline.total) == (10, 10)
    assert inline.disable, "closed"


def test_failures_in_a_tqdm_bar(process_pool: Any) -> None:
    shown = io.StringIO()
    process_pool.map(int, ["1", "x"], return_exceptions=True, progress=partial(tqdm.tqdm, file=shown))
    assert "failed=1" in shown.getvalue()
