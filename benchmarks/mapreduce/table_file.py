"""The table of the group-by benchmark: CSV records made from a seed and from lines of the text.

Cities follow Zipf's law over some thousand names; one comment in ten holds commas and quotes, one in fifty a line end,
so that a reader must know CSV. Prices are whole quarters (see `corpus`).
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

SEED = 20261122
CITIES = 8000
BATCH = 20_000  # records made at a time
HEADER = ("id", "city", "quantity", "price", "date", "comment")


def write_tables(place: Path, text: Path, limit: int) -> dict[str, dict[str, int]]:
    """table-1x.csv, -2x and -4x in `place`: at least `limit` bytes times 1, 2 and 4, whole records; the larger begin
    with the smaller."""
    about = {}
    largest = place / "table-4x.csv"
    with open(largest, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        batches = records(text)
        rows = 0
        for times in (1, 2, 4):
            while (size := file.tell()) < times * limit:
                batch = next(batches)
                writer.writerows(batch)
                rows += len(batch)
            about[f"{times}x"] = {"bytes": size, "rows": rows}
    for times in (1, 2):
        copy_start(largest, place / f"table-{times}x.csv", about[f"{times}x"]["bytes"])
    return about


def copy_start(source: Path, target: Path, size: int) -> None:
    with open(source, "rb") as start, open(target, "wb") as out:
        while size and (data := start.read(min(size, 1 << 22))):
            out.write(data)
            size -= len(data)


def records(text: Path) -> Iterator[list[tuple[Any, ...]]]:
    """Batches of records without end."""
    chance = random.Random(SEED)
    comments, names = phrases(text)
    weights = list(accumulate(1 / rank for rank in range(1, len(names) + 1)))
    months = [f"{year}-{month:02}" for year in range(2018, 2026) for month in range(1, 13)]
    days = [f"{month}-{day:02}" for month in months for day in range(1, 29)]
    number = 0
    while True:
        yield list(
            zip(
                range(number, number + BATCH),
                chance.choices(names, cum_weights=weights, k=BATCH),
                chance.choices(range(1, 100), k=BATCH),
                [quarters / 4 for quarters in chance.choices(range(4, 4000), k=BATCH)],
                chance.choices(days, k=BATCH),
                chance.choices(comments, k=BATCH),
                strict=True,
            )
        )
        number += BATCH


def phrases(text: Path) -> tuple[list[str], list[str]]:
    """Comments taken from lines of the text, and names of cities made from its words."""
    comments: list[str] = []
    names: dict[str, None] = {}
    with open(text, encoding="utf-8") as file:
        for line in islice(file, 0, 3_000_000, 15):
            plain = re.sub(r"[^\w .;:-]", "", line).strip()[:80]
            if len(plain) > 20:
                comments.append(decorated(plain, len(comments)))
            for word in re.findall(r"\b[a-z]{4,12}\b", line):
                names[word.title()] = None
    return comments, list(islice(names, CITIES))


def decorated(phrase: str, number: int) -> str:
    words = phrase.split(" ")
    if number % 50 == 7:
        return "\n".join((" ".join(words[:3]), " ".join(words[3:])))
    if number % 10 == 3:
        return f'"{words[0]}", ' + ", ".join(words[1:])
    return phrase
