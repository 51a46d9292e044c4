"""What the documents show is what happens: their blocks run, and what they name exists."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import documents
import pytest
from documents import ROOT, Session, Wrong

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EVERY_DOCUMENT = [*DOCUMENTS, *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"))]
WITH_CLIENTS = ROOT / "docs" / "guides" / "ecosystem.md"  # its examples need packages: tests/ecosystem runs them

# At most so many blocks are not run, for these reasons. To raise a number is to say that it cannot be shown otherwise.
SKIPPED = {
    "screen": 12,  # draws on the terminal until a key is pressed
    "install": 14,  # downloads packages, or builds
    "cluster": 12,  # needs machines; tests/test_clusters*.py run the same on this one
    "root": 4,  # needs rights that a test has not
    "long": 8,  # minutes
    "notebook": 4,  # cells; tests/ecosystem/test_jupyter.py has a kernel
    "machine": 6,  # the output depends on the machine
}
SKIPPED_PROGRAMS = {"notebook", "cluster"}  # of Python; and a comment names the test that runs the like


def _id(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _runs(document: Path) -> bool:
    try:
        return any(block.runs for block in documents.blocks(document))
    except Wrong:
        return True  # its test says what is wrong


PAGES = [document for document in DOCUMENTS if document != WITH_CLIENTS and _runs(document)]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("document", PAGES, ids=_id)
def test_page(document: Path, session: Session) -> None:
    page = documents.blocks(document)
    if missing := set().union(*(block.missing for block in page)):
        pytest.skip(f"needs {', '.join(sorted(missing))}")
    documents.check_page(page, session)


def test_every_block_is_of_a_known_kind() -> None:
    for document in DOCUMENTS:
        documents.outputs(documents.blocks(document))


def test_few_blocks_are_skipped() -> None:
    skipped = [block for document in DOCUMENTS for block in documents.blocks(document) if block.skip]
    for block in skipped:
        assert block.skip in SKIPPED, f"{block.place}: no reason to skip a block: {block.skip!r}"
        if block.language == "python":
            assert block.skip in SKIPPED_PROGRAMS, f"{block.place}: a program is run"
            assert (ROOT / block.run_by).is_file(), f"{block.place}: <!-- run by TEST --> before it names the test"
    counts = Counter(block.skip for block in skipped)
    assert all(counts[word] <= SKIPPED[word] for word in counts), counts


def test_links_lead_somewhere() -> None:
    wrong = [
        f"{_id(document)} links to {target}"
        for document in EVERY_DOCUMENT
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert wrong == []


def test_every_page_is_linked_to() -> None:
    """By another document, that is: the list of a folder is no way to a page."""
    linked = {
        (document.parent / target).resolve()
        for document in EVERY_DOCUMENT
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text())
        if (document.parent / target).resolve() != document
    }
    begins = {ROOT / "README.md", ROOT / "docs" / "index.md"}  # of the repository, and of the site
    assert [_id(document) for document in DOCUMENTS if document not in linked | begins] == []


def test_titles_are_shown_as_written() -> None:
    """Markdown takes `__init__` for bold, and `<locals>` for HTML, where they are not in backticks."""
    wrong = [
        f"{_id(document)}: {title}"
        for document in EVERY_DOCUMENT
        for text in [re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)]
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        if re.search(r"__|<", re.sub(r"`[^`]+`", "", title))
    ]
    assert wrong == []


def test_make_targets_in_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in EVERY_DOCUMENT:
        text = document.read_text()
        commands = "".join(block.text for block in documents.parse(text, document) if block.language == "sh")
        named = {*re.findall(r"`make ([a-z-]+)", text), *re.findall(r"^make ([a-z-]+)", commands, re.MULTILINE)}
        assert named <= targets, f"{_id(document)} names {named - targets}"


def test_the_readme_has_exactly_two_commands_for_a_fresh_machine() -> None:
    assert set(re.findall(r"^make [a-z]+", (ROOT / "README.md").read_text(), re.MULTILINE)) == {
        "make demo",
        "make test",
    }


# The runner itself: a page that is wrong is found to be wrong.

PAGE = """\
# A page

```csv sales.csv
city,price
Rome,2
```

```python
# shop.py
import sys

def total():
    with open("sales.csv") as lines:
        return sum(int(line.split(",")[1]) for line in list(lines)[1:])

if __name__ == "__main__":
    print(total())  # 2
    print("stderr", file=sys.stderr)
```

```text
2
stderr
```

```sh
python -c 'import shop; print("pid", 4123, shop.total())'  # a comment
procession --version
exit 3
```
"""


def _page(tmp_path: Path, text: str) -> list[documents.Block]:
    return documents.parse(text, tmp_path / "page.md")


def test_every_command_of_make_is_told_to_contributors() -> None:
    told = (ROOT / "CONTRIBUTING.md").read_text()
    for command in re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE):
        assert re.search(rf"`make {command}\b", told), command


def test_a_right_page_passes(tmp_path: Path, session: Session) -> None:
    text = PAGE.replace("```sh", "```sh exit=3") + "\n```text\npid … 2\n…\n```\n"
    documents.check_page(_page(tmp_path, text), session)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("2\nstderr\n", "3\nstderr\n", r"page.md:21: the output is another\n--- the page(?s:.*)-3\n\+2\n stderr"),
        ("# 2\n", "# 3\n", r"page.md:8: promises a line '3'"),
        ("print(total())", "print(1 / 0)", r"page.md:8: ended with 1, not 0\n(?s:.*)ZeroDivisionError"),
        ("with open", "open('sales.csv')\n    with open", r"page.md:8: a warning(?s:.*)ResourceWarning"),
        ("```csv sales.csv", "```csv", "page.md:8: ended with 1"),  # no such file
        ("```csv sales.csv", "```bash", "page.md:3: a block of the unknown kind 'bash'"),
        ("```csv sales.csv", "```text", "page.md:3: a text block that is the output of nothing"),
        ("# A page", "- a list\n  ```sh", "page.md:2: a fence that is not at the beginning"),
        ("# A page", "# A page\n\n    $ ls", "page.md:3: a fence that is not at the beginning"),
        ("# A page", "# A page\n", "page.md:27: ended with 3, not 0"),
    ],
)  # fmt: skip
def test_a_wrong_page_is_found(old: str, new: str, found: str, tmp_path: Path, session: Session) -> None:
    assert old in PAGE
    with pytest.raises(Wrong, match=found):
        documents.check_page(_page(tmp_path, PAGE.replace(old, new, 1)), session)


@pytest.mark.parametrize(
    ("expected", "printed", "equal"),
    [
        ("a 1.5 s\n", "a 1x5 s\n", False),
        ("took … s\n", "took 1.5 s \n\n", True),
        ("took … s\n", "took 1.5\ns\n", False),
        ("first\n…\nlast\n", "first\nlast\n", True),
        ("first\n…\nlast\n", "first\n2\n3\nlast\n", True),
        ("first\n…\nlast\n", "first\n2\n3\n", False),
        ("", "something\n", False),
        ("at (pid 12)\n", "at (pid 345)\n", True),
        ("at 12\n", "at 345\n", False),
    ],
)
def test_wildcards(expected: str, printed: str, equal: bool) -> None:
    assert documents.matches(expected, printed) == equal


@pytest.mark.parametrize(
    ("expected", "printed", "equal"),
    [
        ("b\n[1]\n[…]\n", "[1]\n[2]\nb\n", True),
        ("a\na\n", "a\n", False),
        ("a\n", "a\na\n", False),
        ("[…]\n[1]\n", "[2]\n[2]\n", False),
    ],
)
def test_lines_in_any_order(expected: str, printed: str, equal: bool) -> None:
    assert documents.matches_in_any_order(expected, printed) == equal


def test_the_output_can_be_written_into_the_page(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("```sh\necho one\n```\n\n```text\ntwo\nthree\n```\n\nThe end.\n")
    assert documents.write_outputs(document, tmp_path / "session") == 1
    assert document.read_text() == "```sh\necho one\n```\n\n```text\none\n```\n\nThe end.\n"
