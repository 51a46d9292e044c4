"""What docs/explanation names is there, and its figures are those that are stored."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import procession
from procession.executor import Executor
from procession.mapreduce import Files
from procession.pool import AsyncResult, Pool

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
    pages = [path.read_text() for path in (benchmark_page.PAGE, benchmark_page.README)]
    for page in pages:
        assert benchmark_page.filled(page, texts) == page
    for name in texts:
        assert any(f"<!-- {name} -->" in page for page in pages), f"{name} has no place"
    page = pages[0]
    for name, picture in pictures.items():
        assert (benchmark_page.PICTURES / name).read_text() == picture
        assert f"pictures/{name}" in page
        ElementTree.fromstring(picture)
    assert "not looked into yet" not in page


# What a name in the column "You write here" is an instance of, or is.
WORDS: dict[str, Any] = {
    **{name: getattr(procession, name) for name in procession.__all__},
    "pool": Pool,
    "executor": Executor,
    "process": procession.Process,
    "result": AsyncResult,
    "Files": Files,
}


def calls(page: Path) -> list[ast.Call]:
    """Calls in the second column of the page's tables."""
    rows = re.findall(r"^\|(?:[^|\n]*)\|([^|\n]*)\|(?:[^|\n]*)\|$", page.read_text(), re.MULTILINE)
    found = []
    for code in re.findall(r"`([^`]+)`", " ".join(rows)):
        try:
            tree = ast.parse(code)
        except SyntaxError:  # a command, or half of a statement
            continue
        found += [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return found


def named(function: ast.expr) -> Any:
    """What of ours a call calls; None for the result of another call, and for what is not ours."""
    if isinstance(function, ast.Attribute):
        if isinstance(function.value, ast.Name) and function.value.id == "procession":
            return getattr(procession, function.attr)
        owner = named(function.value)
        return None if owner is None else getattr(owner, function.attr)
    return WORDS.get(function.id) if isinstance(function, ast.Name) else None


@pytest.mark.parametrize("page", sorted((ROOT / "docs/explanation/coming-from").glob("[!i]*.md")), ids=lambda p: p.name)
def test_what_one_is_told_to_write_exists(page: Path) -> None:
    """Names and keywords of ours, in what such a page has one write instead."""
    ours = [(call, target) for call in calls(page) if (target := named(call.func)) is not None]
    for call, target in ours:
        keywords = {keyword.arg for keyword in call.keywords}
        unknown = keywords - set(inspect.signature(target).parameters)
        assert not unknown, f"{page.name}: {ast.unparse(call)} has {unknown}"
    assert len(ours) >= 3
