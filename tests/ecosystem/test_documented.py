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
    """Its own, or that of the how-to page that it leads to."""
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", DOCUMENT.read_text(), re.MULTILINE))
    without = set(sections) - {block.heading for block in EXAMPLES}
    assert len(sections) >= 7
    assert [name for name in without if "](../howto/" not in sections[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.heading)
def test_example_prints_what_it_promises(block: Block, tmp_path: Path) -> None:
    if block.missing:
        pytest.skip(f"needs {', '.join(sorted(block.missing))}")
    Session(tmp_path).run(block)
