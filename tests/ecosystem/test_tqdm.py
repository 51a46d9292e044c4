"""tqdm around a pool's iterators, and its own map over processes."""

from __future__ import annotations

import io
from collections.abc import Callable
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
