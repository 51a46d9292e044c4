"""The map functions of all that run Python: what a user writes. The same for plain Python, pools and procession."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

LETTERS = re.compile(r"[^\W\d_]+")
CITY, PRICE = 1, 3  # columns of the table


def split_words(text: str) -> list[str]:
    return text.split()


def letter_words(text: str) -> list[str]:
    return LETTERS.findall(text.lower())


def city_prices(lines: Iterable[str]) -> Iterator[tuple[str, float]]:
    """(city, price) of each record."""
    for record in csv.reader(lines):
        if record[0] != "id":
            yield record[CITY], float(record[PRICE])


def city_prices_of_text(text: str) -> Iterator[tuple[str, float]]:
    return city_prices(io.StringIO(text, newline=""))
