"""An answer as rows, and rows in every format."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procession.gather.result import KeyedResult
from procession.mapreduce import builtin, rows


def test_rows_of_answers() -> None:
    job: Any = builtin.WordCount()
    counts = {"b": 2, "a": 2, "c": 9, "d": 1}
    assert list(rows.rows_of(job, counts)) == [("c", 9), ("a", 2), ("b", 2), ("d", 1)]
    assert list(rows.rows_of(job, counts, 2)) == [("c", 9), ("a", 2)]
    assert list(rows.rows_of(job, {"b": "x", "a": "y"})) == [("a", "y"), ("b", "x")]
    assert list(rows.rows_of(job, {1: 1, "a": 1})) == [("a", 1), (1, 1)], "keys that do not compare"
    assert list(rows.rows_of(job, 7)) == [(7,)]
    assert list(rows.rows_of(job, (7, "x"))) == [(7, "x")]
    assert list(rows.rows_of(job, [3, (4, 5)])) == [(3,), (4, 5)]
    assert list(rows.rows_of(job, {})) == []


def written(answer: Any, form: str) -> str:
    out = io.StringIO()
    job = builtin.WordCount()
    rows.write_rows(rows.rows_of(job, answer), job, out, form)
    return out.getvalue()


def test_formats() -> None:
    awkward = {'a,"b': 1200, "日本": 3, "\x1b[31mred": 2, "x" * 100: 1}
    table = written(awkward, "table").splitlines()
    assert table[0].split() == ["word", "count"]
    assert len({rows.display_width(line) for line in table[1:]}) == 1
    assert "\\x1b[31mred" in table[4], "nothing a terminal would obey"
    assert table[5].split()[0].endswith("…")
    assert written(awkward, "csv").splitlines()[:3] == ["word,count", '"a,""b",1200', "日本,3"]
    assert json.loads(written(awkward, "json"))[1] == {"word": "日本", "count": 3}
    assert json.loads(written({}, "json")) == []
    assert written({}, "csv") == "word,count\n"


ANSWERS: list[dict[Any, Any]] = [
    {"b": 2, "a": 2, "c": 9, "d": 1},
    {"b": "x", "a": "y"},
    {1: 1, "a": 1, (2, "b"): 7},
    {"b": 2.5, "a": -1.0},
    {},
]


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
@pytest.mark.parametrize("top", [None, 1, 3, 100])
def test_an_answer_in_shared_memory_gives_the_rows_of_a_dict(answer: dict[Any, Any], top: int | None) -> None:
    job: Any = builtin.WordCount()
    with KeyedResult.from_dict(answer) as result:
        found = list(rows.rows_of(job, result, top))
    expected = list(rows.rows_of(job, answer, top))
    if any(isinstance(key, int) for key in answer):  # keys without an order stand in any
        found, expected = sorted(found, key=repr), sorted(expected, key=repr)
        assert len(found) == len(expected)
        expected = found if top == 1 else expected
    assert found == expected


def test_what_has_several_values() -> None:
    job = builtin.Index()
    index = {"b": {"x", "y,z"}, "a": {"x"}}
    with KeyedResult.from_dict(index) as result:
        assert list(rows.rows_of(job, result)) == [("a", ["x"]), ("b", ["x", "y,z"])], "by key"
        assert list(rows.rows_of(job, result, 1)) == [("b", ["x", "y,z"])], "those with the most files"

    def as_text(form: str) -> str:
        out = io.StringIO()
        rows.write_rows(rows.rows_of(job, index), job, out, form)
        return out.getvalue()

    assert as_text("table").splitlines()[2:] == ["a     x", "b     x, y,z"]
    records = list(csv.reader(io.StringIO(as_text("csv"))))
    assert json.loads(records[2][1]) == ["x", "y,z"]
    assert json.loads(as_text("json"))[1] == {"word": "b", "files": ["x", "y,z"]}


def test_numbers_that_json_has_not() -> None:
    assert json.loads(written({"a": float("nan"), "b": [1.5, float("inf")], "c": {2, 1}}, "json")) == [
        {"word": "a", "count": None},
        {"word": "b", "count": [1.5, None]},
        {"word": "c", "count": [1, 2]},
    ]


def test_a_table_where_there_is_only_ascii() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    job = builtin.WordCount()
    rows.write_rows([("x" * 100, 1)], job, out, "table")
    out.seek(0)
    assert out.read().splitlines()[1:] == ["-" * 60 + "  -----", "x" * 57 + "...      1"]


def test_a_long_table_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MEASURED_ROWS", 3)
    taken = 0

    def endless() -> Iterator[tuple[str, int]]:
        nonlocal taken
        while True:
            taken += 1
            yield f"word{taken}", taken

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            if taken > 50:
                raise OSError("enough")
            return super().write(text)

    with pytest.raises(OSError, match="enough"):
        rows.write_table(endless(), ["word", "count"], Full())
    assert taken == 51


def test_arrow_needs_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with open(tmp_path / "out", "w") as out, pytest.raises(ValueError, match=r"pip install 'procession\[arrow\]'"):
        rows.check_format("arrow", out)


def test_arrow(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    job = builtin.Index()
    with open(tmp_path / "out", "w") as out:
        rows.write_rows([("a", ["x", "y"]), ("é", ["x\udcff"])], job, out, "arrow")
    table = pyarrow.ipc.open_file(tmp_path / "out").read_all()
    assert table.to_pydict() == {"word": ["a", "é"], "files": [["x", "y"], ["x\\udcff"]]}
    with open(tmp_path / "out", "w") as out, pytest.raises(ValueError, match="several kinds"):
        rows.write_rows([("a", 1), ("b", "x")], job, out, "arrow")
