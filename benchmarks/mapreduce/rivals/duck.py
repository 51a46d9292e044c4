"""DuckDB, two threads: the cheapest query found for each workload. The answer is a temporary table in its memory.

A look-up is a query, so it costs more here than in a dict; there are few of them in the measured time. Its regular
expressions do not know the property Alphabetic and its lower() goes letter by letter, so `letters` is nearly the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.mapreduce.model import WORKERS, Answer, Function

BLANKS = "string_split({}, ' ')"
LETTERS = r"regexp_extract_all({}, '[\p{{L}}\p{{M}}\p{{Nl}}]+')"  # nearest to Alphabetic, which it does not know
LINES = """read_csv('{}', columns={{'line': 'VARCHAR'}}, delim='\x01', quote='', escape='', comment='', header=false,
    auto_detect=false, null_padding=false, nullstr='\x02', max_line_size=10000000)"""


class Table:
    """An answer in table `answer(key, value)`."""

    size = "value"  # what the largest values are judged by

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def get(self, key: str) -> Any:
        row = self.connection.execute("SELECT value FROM answer WHERE key = ?", [key]).fetchone()
        return row and row[0]

    def __len__(self) -> int:
        return int(self.connection.execute("SELECT count(*) FROM answer").fetchall()[0][0])

    def top(self, n: int) -> list[tuple[str, Any]]:
        query = f"SELECT key, value FROM answer ORDER BY {self.size} DESC, key LIMIT {n}"
        return self.connection.execute(query).fetchall()

    def items(self) -> Iterator[tuple[str, Any]]:
        cursor = self.connection.execute("SELECT key, value FROM answer")
        while rows := cursor.fetchmany(50_000):
            yield from rows


class FileTable(Table):
    """The values are sorted lists of file numbers, to be looked up in table `files(number, name)`."""

    size = "len(value)"

    def names(self) -> dict[int, str]:
        return dict(self.connection.execute("SELECT number, name FROM files").fetchall())

    def items(self) -> Iterator[tuple[str, list[str]]]:
        names = self.names()
        for key, numbers in super().items():
            yield key, [names[number] for number in numbers]


def connect() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": WORKERS})


def counting(words: str, lower: bool = False) -> Function:
    @contextmanager
    def count(path: Path) -> Iterator[Answer]:
        with connect() as connection:
            query = (
                "SELECT key, count(*) AS value"
                f" FROM (SELECT unnest({words.format('line')}) AS key FROM {LINES.format(path)})"
                " WHERE key <> '' GROUP BY key"
            )
            if lower:  # once for each different word, which is cheaper than the whole text
                query = f"SELECT lower(key) AS key, sum(value)::BIGINT AS value FROM ({query}) GROUP BY lower(key)"
            connection.execute(f"CREATE TEMP TABLE answer AS {query}")
            yield Table(connection)

    return count


def indexing(words: str, lower: bool = False) -> Function:
    @contextmanager
    def index(path: Path) -> Iterator[Answer]:
        start = len(str(path)) + 2
        with connect() as connection:
            connection.execute(
                "CREATE TEMP TABLE files AS SELECT name, (row_number() OVER (ORDER BY name))::INTEGER AS number"
                f" FROM (SELECT substr(file, {start}) AS name FROM glob('{path}/**'))"
            )
            text = words.format("replace(content, chr(10), ' ')")
            found = f"list_distinct({text})"
            if lower:
                found = f"list_distinct(list_transform({found}, lambda word: lower(word)))"
            connection.execute(
                "CREATE TEMP TABLE answer AS SELECT key, list_sort(list(number)) AS value FROM"
                f" (SELECT number, unnest({found}) AS key"
                f" FROM read_text('{path}/**') JOIN files ON name = substr(filename, {start}))"
                " WHERE key <> '' GROUP BY key"
            )
            yield FileTable(connection)

    return index


@contextmanager
def groupby(path: Path) -> Iterator[Answer]:
    with connect() as connection:
        connection.execute(
            f"CREATE TEMP TABLE answer AS SELECT city AS key, avg(price) AS value FROM read_csv('{path}',"
            " header=true, auto_detect=false, quote='\"', escape='\"', columns={'id': 'BIGINT', 'city': 'VARCHAR',"
            " 'quantity': 'BIGINT', 'price': 'DOUBLE', 'date': 'VARCHAR', 'comment': 'VARCHAR'}) GROUP BY city"
        )
        yield Table(connection)


FUNCTIONS: dict[str, Function] = {
    "words": counting(BLANKS),
    "letters": counting(LETTERS, lower=True),
    "index": indexing(BLANKS),
    "index-letters": indexing(LETTERS, lower=True),
    "groupby": groupby,
}
