"""The examples in the documents run, and what the documents name exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_CLIENTS = ROOT / "docs" / "guides" / "ecosystem.md"  # its examples need packages: tests/ecosystem runs them
EVERY_DOCUMENT = [*DOCUMENTS, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]

EXAMPLES = [
    pytest.param(code, id=f"{document.name}:{text[: match.start()].count(chr(10)) + 1}")
    for document in DOCUMENTS
    if document != WITH_CLIENTS
    for text in [document.read_text()]
    for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for code in [match.group(1)]
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"print\(.*\)\s*# (.+)$", code, re.MULTILINE)
    for line in promised:
        assert line.strip() in done.stdout, f"the example promises {line!r}, and printed {done.stdout!r}"


def test_there_are_examples() -> None:
    assert any(param.id.startswith("README.md") for param in EXAMPLES)


@pytest.mark.parametrize("document", EVERY_DOCUMENT, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in EVERY_DOCUMENT:
        named = set(re.findall(r"`make ([a-z-]+)", document.read_text()))
        assert named <= targets, f"{document.name} names {named - targets}"


def test_the_readme_has_exactly_two_commands_for_a_fresh_machine() -> None:
    assert set(re.findall(r"^make [a-z]+", (ROOT / "README.md").read_text(), re.MULTILINE)) == {
        "make demo",
        "make test",
    }
