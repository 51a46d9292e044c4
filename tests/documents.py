"""Executed documents: a page of Markdown is a session in a folder of its own, and its blocks run in order.

What a block is, its info string says (CONTRIBUTING.md tells authors the same):

- `python`: a complete program, run with warnings as errors. A first line `# name.py` names its file; then later blocks
  can import or run it. A line `print(x)  # value` promises that `value` is a line of the output.
- `sh`: commands, run by `sh -e` with `procession` and `python` on the PATH. `cwd=repository` runs them there.
- `text` after one of these is its output: standard output, then standard error. `…` stands for any characters, and on
  a line of its own for any lines. The number behind `pid` is any number.
- `csv sales.csv`, or another language with a file name: a file, written into the folder.
- `order=any` beside `python` or `sh`: lines of the output may come in another order, as those of several processes do.
- `numbers=any`: every number stands for any number, and spaces for any spaces: times, and tables of them.
- `exit=1` beside `python` or `sh`: how it must end; -9 is a death by SIGKILL. `skip=screen`: not run, for that reason.
- `none` and the languages in SHOWN are only shown. A block of any other kind is an error: nothing is left out silently.

`python tests/documents.py PAGE ...` runs pages; with `--write` each output that differs is written into its page.
"""

from __future__ import annotations

import difflib
import importlib.util
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUN = frozenset({"python", "sh"})
SHOWN = frozenset({"none", "toml", "ini", "yaml", "html", "sql", "json", "csv", "rust", "c"})
BLOCK_S = 50  # seconds a block may take: a hang, not a measure
# Packages that an environment may lack; a page with a program that imports one is skipped there.
OPTIONAL = re.compile(
    "dask|distributed|ipykernel|joblib|matplotlib|numpy|pandas|polars|psycopg|pyarrow|ray|rich|sklearn|threadpoolctl|"
    "torch|tqdm"
)

_FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=ticks)`*[ ]*$", re.MULTILINE | re.DOTALL)
_PROMISE = re.compile(r"print\(.*\)\s*# (.+)$", re.MULTILINE)
_RUN_BY = re.compile(r"<!-- run by (\S+) -->\n\n?\Z")


class Wrong(AssertionError):
    """A page is not as its author says; the message begins with file and line."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    document: Path
    line: int  # of the opening fence
    language: str  # "" when the fence says nothing
    options: dict[str, str]  # exit, skip, cwd, order, numbers
    name: str  # of the file that it is written to; "" for none
    text: str
    heading: str = ""  # the section of the second level that it is in
    run_by: str = ""  # the test that a comment before it names

    @property
    def place(self) -> str:
        path = self.document.relative_to(ROOT) if self.document.is_relative_to(ROOT) else self.document
        return f"{path}:{self.line}"

    @property
    def skip(self) -> str:
        """Why it is not run; "" when it is."""
        return self.options.get("skip", "")

    @property
    def runs(self) -> bool:
        return self.language in RUN and not self.skip

    @property
    def promised(self) -> list[str]:
        """Lines that comments behind `print` say are printed."""
        return [line.strip() for line in _PROMISE.findall(self.text)] if self.language == "python" else []

    @property
    def missing(self) -> set[str]:
        """Optional packages that it imports and this environment lacks."""
        named = set(re.findall(r"^\s*(?:import|from) (\w+)", self.text, re.MULTILINE))
        return {name for name in named if OPTIONAL.fullmatch(name) and importlib.util.find_spec(name) is None}


@dataclass(frozen=True)
class Ended:
    """How a block ended."""

    status: int  # -9: killed by signal 9
    output: str
    errors: str

    @property
    def told(self) -> str:
        """All that a reader would see."""
        return self.output + self.errors


@dataclass
class Session:
    """A folder in which the blocks of a page run, one after the other."""

    folder: Path
    _shims: Path = field(init=False)

    def __post_init__(self) -> None:
        self._shims = self.folder / "bin"
        self.work = self.folder / "page"
        for path in (self._shims, self.work):
            path.mkdir(parents=True, exist_ok=True)
        for name, module in (("python", ""), ("procession", "-m procession ")):
            shim = self._shims / name
            shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module}"$@"\n')
            shim.chmod(0o755)

    def write(self, block: Block) -> Path:
        """The file of a block with a name, or of a program."""
        path = self.work / (block.name or "example.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        return path

    def run(self, block: Block) -> Ended:
        """Run a block to its end; a wrong exit code or a broken promise is an error."""
        if block.language == "python":
            command = [sys.executable, "-W", "error", str(self.write(block).relative_to(self.work))]
        else:
            command = ["sh", "-e", "-c", block.text]
        ended = self._execute(command, ROOT if block.options.get("cwd") == "repository" else self.work, block)
        expected = int(block.options.get("exit", "0"))
        if ended.status != expected:
            raise Wrong(f"{block.place}: ended with {ended.status}, not {expected}\n{ended.told}")
        if block.language == "python" and "Exception ignored in" in ended.errors:
            raise Wrong(f"{block.place}: a warning, which is an error, where it could not be raised\n{ended.told}")
        lines = [line.strip() for line in ended.output.splitlines()]
        for line in block.promised:
            if not any(re.fullmatch(_pattern(line), printed) for printed in lines):
                raise Wrong(f"{block.place}: promises a line {line!r}, and printed\n{ended.told}")
        return ended

    def _execute(self, command: list[str], cwd: Path, block: Block) -> Ended:
        path = os.pathsep.join([str(self._shims), str(Path(sys.executable).parent), os.environ["PATH"]])
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PROCESSION_", "PYTEST_"))}
        told = {"PATH": path, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
        process = subprocess.Popen(
            command, cwd=cwd, env={**kept, **told}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=BLOCK_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            raise Wrong(f"{block.place}: has not ended after {BLOCK_S} s\n{output}{errors}") from None
        return Ended(process.returncode, output, errors)


def blocks(document: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return parse(document.read_text(), document)


def parse(text: str, document: Path) -> list[Block]:
    """The fenced blocks of a page's text; what is indented is an error, for it would not be run."""
    rest = _FENCE.sub(lambda match: "\n" * match.group().count("\n"), text)
    if stray := re.search(r"^(?:\s*(`{3,}|~{3,})| {4}(\$ ))", rest, re.MULTILINE):
        line = rest[: stray.start(stray.lastindex or 0)].count("\n") + 1
        raise Wrong(
            f"{document.name}:{line}: a fence that is not at the beginning of a line or not closed, or none at all"
        )
    return [_block(match, text, document) for match in _FENCE.finditer(text)]


def _block(match: re.Match[str], text: str, document: Path) -> Block:
    before = text[: match.start()]
    language, _, rest = match["info"].strip().partition(" ")
    options = dict(re.findall(r"(\w+)=(\S+)", rest))
    names = [word for word in rest.split() if "=" not in word]
    if language == "python" and (named := re.match(r"# (\S+\.py)\n", match["text"])):
        names = [named[1]]
    run_by = _RUN_BY.search(before)
    headings = re.findall(r"^## (.+)$", before, re.MULTILINE)
    return Block(
        document, before.count("\n") + 1, language, options, names[0] if names else "", match["text"],
        headings[-1] if headings else "", run_by[1] if run_by else "",
    )  # fmt: skip


def outputs(page: list[Block]) -> dict[int, Block]:
    """The `text` block that is the output of each block that runs, by the latter's place in the page."""
    found: dict[int, Block] = {}
    last: int | None = None
    for index, block in enumerate(page):
        if block.language in RUN:
            last = index
        elif block.language == "text" and not block.name:
            if last is None or last in found:
                raise Wrong(f"{block.place}: a text block that is the output of nothing; what is only shown is `none`")
            found[last] = block
        elif not block.name and block.language not in SHOWN and not block.language.startswith("{"):
            raise Wrong(f"{block.place}: a block of the unknown kind {block.language!r}")
    return found


def run_page(page: list[Block], session: Session) -> Iterator[tuple[Block, str]]:
    """Run the blocks of a page; yields each output that differs from what the page shows: the text block, and what was
    printed. Whoever takes none of them as an error has not tested the page: see `check_page`."""
    shown = outputs(page)
    for index, block in enumerate(page):
        if block.runs:
            ended = session.run(block)
            if index in shown and not _is_as_shown(shown[index].text, ended.told, block.options):
                yield shown[index], ended.told
        elif block.name and block.language not in RUN:
            session.write(block)


def _is_as_shown(expected: str, printed: str, options: dict[str, str]) -> bool:
    if options.get("numbers") == "any":
        expected, printed = (re.sub(r"[\d.,]*\d", "0", re.sub(" +", " ", text)) for text in (expected, printed))
    return (matches_in_any_order if options.get("order") == "any" else matches)(expected, printed)


def check_page(page: list[Block], session: Session) -> None:
    """Run a page whose outputs must be as shown."""
    for block, printed in run_page(page, session):
        raise Wrong(f"{block.place}: the output is another\n{difference(block.text, printed)}")


def matches(expected: str, printed: str) -> bool:
    """Whether an output is as a page shows it."""
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "…" else _pattern(line) + r"\n" for line in _lines(expected)
    )  # fmt: skip
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(printed))) is not None


def matches_in_any_order(expected: str, printed: str) -> bool:
    """The same, of lines that may come in any order. Those without `…` take their line first."""
    left = _lines(printed)
    for line in sorted(_lines(expected), key=lambda line: line.count("…")):
        found = next((got for got in left if re.fullmatch(_pattern(line), got)), None)
        if found is None:
            return False
        left.remove(found)
    return not left


def difference(expected: str, printed: str) -> str:
    """What differs, as a unified diff in which a line with `…` that matches counts as equal."""
    got = _lines(printed)
    shown = [next((line for line in got if re.fullmatch(_pattern(want), line)), want) for want in _lines(expected)]
    return "\n".join(difflib.unified_diff(shown, got, "the page", "printed", lineterm="", n=2))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def _pattern(line: str) -> str:
    """Of a line of a page. One process number is as good as another."""
    return re.sub(r"pid\\ \d+", r"pid\\ \\d+", ".*".join(map(re.escape, line.split("…"))))


def write_outputs(document: Path, folder: Path) -> int:
    """Run a page and put what was printed where the page shows something else; returns how many were wrong."""
    wrong = list(run_page(blocks(document), Session(folder)))
    lines = document.read_text().splitlines(keepends=True)
    for block, printed in reversed(wrong):
        end = block.line + block.text.count("\n")
        lines[block.line : end] = [f"{line}\n" for line in _lines(printed.replace(str(folder / "page"), "…"))]
    document.write_text("".join(lines))
    return len(wrong)


def main(arguments: list[str]) -> int:
    """Run pages from the command line."""
    write = "--write" in arguments
    failed = 0
    for name in itertools.filterfalse("--write".__eq__, arguments):
        document = Path(name).resolve()
        with tempfile.TemporaryDirectory() as folder:
            try:
                if write:
                    print(f"{name}: {write_outputs(document, Path(folder))} outputs written")
                else:
                    check_page(blocks(document), Session(Path(folder)))
                    print(f"{name}: as shown")
            except Wrong as error:
                failed += 1
                print(error)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
