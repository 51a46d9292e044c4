"""A bounded part of `scripts/flat.py`: what was made, used and dropped is given back, also by those who were killed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.watchdog(30)


def _load() -> Any:
    path = Path(__file__).parent.parent / "scripts" / "flat.py"
    spec = importlib.util.spec_from_file_location("procession_flat", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


flat = _load()


@pytest.mark.slow
@pytest.mark.parametrize("name", flat.KINDS)
def test_nothing_grows(name: str) -> None:
    before, after, _ = flat.measure(flat.KINDS[name], max(100 // flat.DEAR.get(name, 1), 4))
    assert not after.has_grown_since(before), (before, after)


def test_what_is_kept_is_noticed() -> None:
    kept: list[Any] = []
    before, after, _ = flat.measure(lambda: kept.append(flat.FORK.Lock()), 10, settle_s=0)
    assert after.has_grown_since(before)
    assert after.objects == before.objects + 10
