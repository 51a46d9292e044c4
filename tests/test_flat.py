"""A bounded part of `scripts/flat.py`: what was made, used and dropped is given back, also by those who were killed."""

from __future__ import annotations

from typing import Any

import pytest
from commands import load_script

pytestmark = pytest.mark.watchdog(30)


flat = load_script("flat")


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
