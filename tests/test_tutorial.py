"""The tutorial: its pictures are what the script draws, the lessons follow each other, and those of clusters run there.

All other blocks of the lessons are run by test_docs.py.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import documents
import pytest
from documents import ROOT, Session

sys.path.insert(0, str(ROOT / "scripts"))

import lesson_pictures

LESSONS = sorted((ROOT / "docs" / "tutorial").glob("[1-9]-*.md"))
CLUSTERS = ROOT / "docs" / "tutorial" / "7-anywhere.md"


def test_pictures_are_what_the_script_draws() -> None:
    drawn = {name: draw().svg() for name, draw in lesson_pictures.LESSONS.items()}
    kept = {path.stem: path.read_text() for path in lesson_pictures.PICTURES.glob("lesson-*.svg")}
    assert kept.keys() == drawn.keys()
    changed = [name for name in drawn if kept[name] != drawn[name]]
    assert not changed, f"python scripts/lesson_pictures.py draws {changed} anew"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_has_all_its_parts(lesson: Path) -> None:
    text = lesson.read_text()
    assert re.search(r"^\*\*The question: [^*]+\?\*\*$", text, re.MULTILINE)
    assert f"](../pictures/lesson-{lesson.name[0]}-" in text
    assert text.count("<details>\n<summary>Answer</summary>\n") == 1 == text.count("\n</details>\n")
    known = text.partition("## What you know now\n\n")[2].partition("\n\n")[0]
    assert len(re.findall(r"^- ", known, re.MULTILINE)) == 3
    following = LESSONS[LESSONS.index(lesson) + 1 :]
    assert not following or f"({following[0].name})" in text.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["dask", "ray"])
def test_the_lesson_of_clusters_runs_on_them(place: str, tmp_path: Path, request: Any) -> None:
    pytest.importorskip("distributed" if place == "dask" else "ray")
    page = documents.blocks(CLUSTERS)
    session = Session(tmp_path)
    for block in page:
        if block.name.endswith(".py"):
            session.write(block)
    (there,) = [block for block in page if block.skip == "cluster"]
    (line,) = [line for line in there.text.splitlines() if line.endswith(f" {place}")]
    printed = session.run(replace(there, options={}, text=line)).output
    shown = documents.outputs(page)[page.index(there)].text
    assert printed.splitlines()[-1] in shown.splitlines()
