"""The examples of docs/guides/ecosystem.md run, each where its packages are installed."""

from __future__ import annotations

import re
from pathlib import Path

import documents
import pytest
from documents import Block, Session

DOCUMENT = Path(__file__).parents[2] / "docs" / "guides" / "ecosystem.md"
EXAMPLES = [block for block in documents.blocks(DOCUMENT) if block.runs]


def test_every_section_has_an_example() -> None:
    assert {block.heading for block in EXAMPLES} >= set(re.findall(r"^## (.+)$", DOCUMENT.read_text(), re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.heading)
def test_example_prints_what_it_promises(block: Block, tmp_path: Path) -> None:
    if block.missing:
        pytest.skip(f"needs {', '.join(sorted(block.missing))}")
    Session(tmp_path).run(block)
