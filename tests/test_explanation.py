"""What docs/explanation names is there, and its figures are those that are stored."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import benchmark_page  # noqa: E402

PAGES = sorted((ROOT / "docs" / "explanation").glob("*.md"))
FILES = re.compile(r"`((?:[\w./-]+/)?[\w-]+\.(?:py|rs))(?:::(\w+))?`")


def known() -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "tests", "scripts", "crates"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return [file for file in files if not file.startswith("crates/") or "/tests/" in file]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    """`file.py::name`: one file is called so, or ends so, and defines the name."""
    files = known()
    for name, function in FILES.findall(page.read_text()):
        if not function and page.name != "crash-model.md":  # elsewhere it may be a reader's own file
            continue
        found = [file for file in files if f"/{file}".endswith(f"/{name}")]
        assert len(found) == 1, f"{page.name} names {name}, and there is {found or 'none'}"
        text = (ROOT / found[0]).read_text()
        assert not function or re.search(rf"(?:def|fn) {function}\b", text), f"{found[0]} has no {function}"


def test_the_crash_model_names_a_test_for_nearly_every_row() -> None:
    page = (ROOT / "docs" / "explanation" / "crash-model.md").read_text()
    rows = re.findall(r"^\| (.*) \|$", page, re.MULTILINE)
    held = [row for row in rows if FILES.search(row.rsplit(" | ", 1)[-1])]
    assert len(held) > 40


def test_the_benchmarks_page_is_that_of_the_stored_results() -> None:
    """`python scripts/benchmark_page.py` makes it anew, README's table and the pictures too."""
    texts, pictures = benchmark_page.sections()
    for path in (benchmark_page.PAGE, benchmark_page.README):
        page = path.read_text()
        assert benchmark_page.filled(page, texts) == page
    page = benchmark_page.PAGE.read_text()
    assert all(f"<!-- {name} -->" in page for name in texts), "a section has no place"
    for name, picture in pictures.items():
        assert (benchmark_page.PICTURES / name).read_text() == picture
        assert f"pictures/{name}" in page
        ElementTree.fromstring(picture)
    assert "not looked into yet" not in page
