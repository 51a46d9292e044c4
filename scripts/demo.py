"""`make demo`: counts the words of text this machine already has, and says what a second core was worth.

The text is Python's own library and the documentation and headers of the system, as far as they are there. The same
words are then counted by the ten lines of plain Python one would write without any library, in one process, and the two
answers are compared to the last word.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import procession
from procession import mapreduce
from procession._sizes import shown_size
from procession.mapreduce.builtin import word_pattern
from procession.progress.runs import Bar

ENOUGH_BYTES = 180 << 20  # one process counts this in about ten seconds
TOP = 15
PLACES = (
    ("Python's library", sysconfig.get_path("stdlib")),
    ("installed packages", sysconfig.get_path("purelib")),
    ("system documentation", "/usr/share/doc"),
    ("system Python packages", "/usr/lib/python3"),
    ("C headers", "/usr/include"),
    ("manuals", "/usr/share/man"),
)


@dataclass
class Corpus:
    """Directories to count, and the text files in them."""

    directories: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    size_bytes: int = 0


def main() -> int:
    print("Looking for text on this machine (each file is read once, so that both sides find it in memory) …")
    corpus = collect()
    if not corpus.files:
        print("None of the usual places holds any text; try: procession mapreduce wordcount DIRECTORY")
        return 1
    context = procession.get_context()
    workers = context.cpu_count()
    shown = " ".join(corpus.directories)
    print(f"\n$ procession mapreduce wordcount {shown} --errors replace --top {TOP}\n")
    with Bar("wordcount", sys.stderr) as bar:
        ours = mapreduce.run(
            "wordcount",
            corpus.directories,
            context=context,
            workers=workers,
            errors="replace",
            unpack=False,  # plain Python reads them as they are
            progress=bar.update,
        )
    mapreduce.write_rows(mapreduce.rows_of(ours.job, ours.total, TOP), ours.job, sys.stdout, "table")
    words = sum(ours.total.values())
    print(f"\n{words:,} words, {len(ours.total):,} different, in {ours.files:,} files. Now the same in plain Python …")
    started = time.perf_counter()
    plain = count_plainly(corpus.files)
    seconds = time.perf_counter() - started
    print(f"\n  plain Python, one process     {seconds:6.2f} s")
    print(f"  procession, {workers} workers         {ours.seconds:6.2f} s", end="")
    print(f"   (of it {ours.gather_seconds:.2f} s bringing the workers' counts together)")
    print(f"  speed-up                      {seconds / ours.seconds:6.2f} ×", end="")
    print(f"   ({workers} workers, and `wordcount` is native code)")
    if plain != ours.total:
        print("\nThe two answers DIFFER. That must not happen; please report it.")
        return 1
    print("  the answers                     equal, to the last word")
    return 0


def collect() -> Corpus:
    """The places that exist, until there is enough."""
    corpus = Corpus()
    seen: list[str] = []
    for label, place in PLACES:
        place = os.path.realpath(place)
        if corpus.size_bytes >= ENOUGH_BYTES or not os.path.isdir(place) or any(inside(place, other) for other in seen):
            continue
        files, size_bytes = [], 0
        for path, length in text_files(place):
            files.append(path)
            size_bytes += length
        if not files or not all(os.access(path, os.R_OK) for path in files):
            continue
        print(f"  {label:24} {len(files):7,} files {shown_size(size_bytes):>10}   {place}")
        seen.append(place)
        corpus.directories.append(place)
        corpus.files += files
        corpus.size_bytes += size_bytes
    return corpus


def inside(place: str, other: str) -> bool:
    return os.path.commonpath([place, other]) in (place, other)


def text_files(place: str) -> Iterator[tuple[str, int]]:
    """The files below a directory that hold text, and their sizes: no links, no NUL in the first 8 KiB."""
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                data = file.read()
            if b"\0" not in data[:8192]:
                yield path, len(data)


def count_plainly(files: list[str]) -> Counter[str]:
    """What one writes without a library, with a pattern that takes for letters what the job takes for letters."""
    counts: Counter[str] = Counter()
    letters = word_pattern()
    for path in files:
        with open(path, encoding="utf-8", errors="replace") as file:
            counts.update(map(str.lower, letters.findall(file.read())))
    return counts


if __name__ == "__main__":
    sys.exit(main())
