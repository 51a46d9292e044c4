"""`make changelog`: the entries waiting in changelog.d, as the next release will list them.

    python scripts/changelog.py                                      print them
    python scripts/changelog.py --release 0.2.0 [--date 2026-12-01]  move them into CHANGELOG.md and empty the folder

An entry's kind is in its file's name; its topic is what it begins with in bold, if anything (`**Pools.** …`). Entries
of a kind are grouped by topic, in the order of `TOPICS`. `changelog.d/summary.md`, if it is there, opens the release.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parent.parent
KINDS = ("added", "changed", "fixed", "removed")
TOPICS = (
    "Installing",
    "In place of multiprocessing",
    "Processes",
    "Pools and executors",
    "Queues and pipes",
    "Locks",
    "Deaths and errors",
    "Map-reduce",
    "The command line",
    "On disk",
    "On clusters",
    "In asyncio",
    "Watching",
    "Finding mistakes",
    "Documentation",
    "",  # entries that name none
)
WIDTH = 120  # of a line of Markdown
SUMMARY = "summary.md"
NO_ENTRIES = {"README.md", SUMMARY}


class Wrong(Exception):
    """What is wrong with an entry or with the release asked for; said without a traceback."""


def entries_of(folder: Path) -> list[Path]:
    """The files of all entries. A file that is of no kind is an error: it would be left out of the notes."""
    there = (path for path in folder.glob("*.md") if path.name not in NO_ENTRIES)
    entries = sorted(there, key=lambda path: path.stem)
    for path in entries:
        if path.name.partition("-")[0] not in KINDS:
            raise Wrong(f"{path.name}: the name begins with none of {', '.join(KINDS)}")
    return entries


def topic_and_text(path: Path) -> tuple[str, str]:
    text = path.read_text().strip()
    begins = re.match(r"\*\*([^*]+)\.\*\*\s+", text)
    if begins is None:
        return "", text
    topic = begins.group(1)
    if topic not in TOPICS:
        raise Wrong(f"{path.name}: {topic!r} is none of the topics in scripts/changelog.py")
    return topic, text[begins.end() :]


def notes(folder: Path) -> str:
    """All entries as Markdown, by kind and topic, below the summary."""
    summary = folder / SUMMARY
    parts = [summary.read_text().strip()] if summary.exists() else []
    entries = entries_of(folder)
    for kind in KINDS:
        of_kind = [topic_and_text(path) for path in entries if path.name.startswith(f"{kind}-")]
        if of_kind:
            parts += [f"### {kind.capitalize()}", *_by_topic(of_kind)]
    return "\n\n".join(parts) + "\n"


def _by_topic(entries: list[tuple[str, str]]) -> Iterable[str]:
    named = {topic for topic, _ in entries if topic}
    for topic in TOPICS:
        texts = [text for other, text in entries if other == topic]
        if texts and named:
            yield f"#### {topic or 'Other'}"
        if texts:
            yield "\n".join(map(_item, texts))


def _item(text: str) -> str:
    """An entry as an item of a list, its lines filled again since the topic went."""
    return textwrap.fill(
        text, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def release(root: Path, version: str, day: str) -> None:
    """Moves all entries into CHANGELOG.md, above the last release, and deletes their files."""
    folder, changelog = root / "changelog.d", root / "CHANGELOG.md"
    there = version_of(root)
    if version != there:
        raise Wrong(f"Cargo.toml says version {there}: change it first, it is the one place")
    text = changelog.read_text()
    if re.search(rf"^## {re.escape(version)}\b", text, re.MULTILINE):
        raise Wrong(f"CHANGELOG.md has {version} already")
    entries = entries_of(folder)
    if not entries:
        raise Wrong("changelog.d has no entries")
    head, mark, released = text.partition("\n## ")
    changelog.write_text(f"{head.rstrip()}\n\n## {version} ({day})\n\n{notes(folder)}{mark}{released}")
    for path in [*entries, folder / SUMMARY]:
        path.unlink(missing_ok=True)


def version_of(root: Path) -> str:
    """The version in Cargo.toml, of which the package's and the command's are made."""
    found = re.search(r'^version = "([^"]+)"', (root / "Cargo.toml").read_text(), re.MULTILINE)
    if found is None:
        raise Wrong("Cargo.toml has no version")
    return found.group(1)


def main(arguments: list[str], root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description="The entries of changelog.d.", allow_abbrev=False)
    parser.add_argument("--release", metavar="VERSION", help="move the entries into CHANGELOG.md")
    parser.add_argument(
        "--date", default=str(date.today()), metavar="YYYY-MM-DD", help="of the release; today by default"
    )
    chosen = parser.parse_args(arguments)
    try:
        day = str(date.fromisoformat(chosen.date))
        if chosen.release:
            release(root, chosen.release, day)
        else:
            print(notes(root / "changelog.d"), end="")
    except (Wrong, ValueError) as error:
        print(f"changelog: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
