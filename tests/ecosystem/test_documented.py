"""The examples of docs/guides/ecosystem.md run, each where its packages are installed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "guides" / "ecosystem.md"
_EXAMPLE = re.compile(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = dict(_EXAMPLE.findall(DOCUMENT.read_text()))


def test_every_section_has_an_example() -> None:
    assert list(EXAMPLES) == re.findall(r"^## (.+)$", DOCUMENT.read_text(), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("heading", EXAMPLES)
def test_example_prints_what_it_promises(heading: str, program: Callable[..., str]) -> None:
    code = EXAMPLES[heading]
    for package in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    printed = program(code)
    for line in re.findall(r"print\(.*\)\s*# (.+)$", code, re.MULTILINE):
        assert line.strip() in printed
