"""CSV divided at record borders: the records of the pieces are those that `csv.reader` reads from the whole file."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from procession.mapreduce import CsvRaw, CsvText, Files, plan, reading, records
from procession.mapreduce import errors as causes

QUOTED = b'"newline\n, and ""quotes"" in it"'


def model(text: str, delimiter: str = ",") -> list[list[str]]:
    """All records, by the standard library alone."""
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]


def divided(files: Files) -> tuple[list[list[str]], list[CsvText]]:
    """The records of all pieces, in order, and the stretches."""
    with files.divide(2) as parts:
        pieces = sorted(parts.pieces, key=lambda piece: piece.order)
        found = [text for piece in pieces for text in files.read(piece)]
    texts = [text for text in found if isinstance(text, CsvText)]
    assert texts == found
    return [row for text in texts for row in text.rows()], texts


PARTS = ['"', '"', ",", "\n", "\n", "\r\n", "\r", "a", "é", '""', ',"', '",']


def random_csv(rng: random.Random, length: int) -> str:
    """Anything at all: quotes where they open, close, are doubled or stray, and every kind of newline."""
    return "".join(rng.choices(PARTS, k=length))


def make_small(monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
    monkeypatch.setattr(plan, "PIECE_BYTES", rng.choice([1, 5, 40, 1000]))
    monkeypatch.setattr(plan, "SMALLEST_PIECE_BYTES", 1)
    monkeypatch.setattr(plan, "CHUNK_BYTES", rng.choice([1, 7, 100]))
    monkeypatch.setattr(records, "CHUNK_BYTES", rng.choice([1, 7, 100]))
    monkeypatch.setattr(records, "HEADER_BYTES", rng.choice([1, 7, 100]))
    monkeypatch.setattr(reading, "WINDOW_BYTES", rng.choice([1, 7, 100]))


@pytest.mark.parametrize("seed", range(10))
def test_records_are_those_of_the_standard_library(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        make_small(monkeypatch, rng)
        check_records(rng, tmp_path)


def check_records(rng: random.Random, tmp_path: Path) -> None:
    """Any text at all, as one file."""
    text = random_csv(rng, rng.randrange(60))
    (tmp_path / "file").write_bytes(text.encode())
    has_header = rng.random() < 0.5
    rows, texts = divided(Files(tmp_path / "file", takes="csv", header=has_header))
    expected = model(text)
    assert rows == (expected[1:] if has_header else expected)
    if has_header and texts:
        assert all(part.header == expected[0] for part in texts)
    elif texts:
        assert all(part.header is None for part in texts)


def test_well_formed_records_are_divided_evenly(tmp_path: Path) -> None:
    line = b"1," + QUOTED + b',"x",2\n'
    (tmp_path / "file").write_bytes(b"id,text,more,number\n" + line * 100_000)
    files = Files(tmp_path / "file", takes="csv")
    pieces = files.divide(2).pieces
    assert max(piece.size_bytes for piece in pieces) < 2 * plan.PIECE_BYTES
    assert len(pieces) > 16
    rows = [row for piece in pieces for text in files.read(piece) for row in text.rows()]
    assert rows == [["1", 'newline\n, and "quotes" in it', "x", "2"]] * 100_000


@pytest.mark.parametrize("seed", range(10))
def test_each_hypothesis_about_a_chunk(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        check_hypotheses(random_csv(rng, 40))


def check_hypotheses(text: str) -> None:
    """Every place behind a newline as the start of a chunk."""
    lines = text.encode().splitlines(keepends=True)
    for number in range(len(lines)):
        before, chunk = b"".join(lines[:number]), b"".join(lines[number:])
        if not before.endswith(b"\n") and before:
            continue
        chain, whole = records.Chain(b","), records.Chain(b",")
        chain.add(before)
        first = chain.add(chunk)
        whole.add(before + chunk)
        assert chain.inside is whole.inside
        if first < len(chunk):
            split = model((before + chunk[:first]).decode()) + model(chunk[first:].decode())
            assert split == model(text)


def test_other_delimiters_and_encodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch, random.Random(0))
    text = 'naïve|"a|b"\n"é\n|"|x\n' * 10  # in cp932 the second byte of ポ is that of `|`
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp932"):
        shown = text if encoding != "cp932" else text.replace("ï", "i").replace("é", "ポ")
        (tmp_path / encoding).write_bytes(shown.encode(encoding))
        rows, texts = divided(Files(tmp_path / encoding, takes="csv", delimiter="|", encoding=encoding))
        assert rows == model(shown, "|")[1:]
        assert texts[0].header == model(shown, "|")[0]


def test_a_byte_order_mark_is_part_of_no_field(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes('\ufeff"a","b"\n1,2\n'.encode())
    rows, texts = divided(Files(tmp_path / "file", takes="csv"))
    assert (rows, texts[0].header) == ([["1", "2"]], ["a", "b"])
    rows, _ = divided(Files(tmp_path / "file", takes="csv", header=False))
    assert rows == [["a", "b"], ["1", "2"]]


def test_each_file_has_its_own_header(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x,y\n1,2\n")
    (tmp_path / "b").write_text("\n\ny,x\n3,4")
    (tmp_path / "c").write_text("only,names")
    (tmp_path / "d").write_text("")
    files = Files(tmp_path, takes="csv-bytes")
    (piece,) = files.divide().pieces
    found = list(files.read(piece))
    assert all(type(raw) is CsvRaw for raw in found)
    assert [(raw.header, bytes(raw), raw.offset) for raw in found] == [
        (["x", "y"], b"1,2\n", 4),
        (["y", "x"], b"3,4", 6),
    ]


def test_a_header_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST_HEADER_BYTES", 1 << 17)
    (tmp_path / "file").write_bytes(b'"never closed,\n' + b"1,2\n" * (1 << 17))
    with pytest.raises(causes.InputBroken, match=r"file: the first record does not end within 131072 bytes"):
        Files(tmp_path / "file", takes="csv").divide()


def test_a_header_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"caf\xe9,x\n1,2\n")
    with pytest.raises(causes.InputBroken, match="file: the first record does not name the fields"):
        Files(tmp_path / "file", takes="csv").divide()


def test_one_field_of_each_record(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('name,"a ""b""",c\n1,"x\ny",3\n4\n\n5,\x0b\u2028z,6\n', encoding="utf-8")
    files = Files(tmp_path / "file", takes="csv")
    (text,) = (text for piece in files.divide(1).pieces for text in files.read(piece))
    assert isinstance(text, CsvText)
    rows = list(text.rows())
    assert rows == [["1", "x\ny", "3"], ["4"], ["5", "\x0b\u2028z", "6"]]
    assert text.column("name") == text.column(0) == ["1", "4", "5"]
    assert text.column('a "b"') == ["x\ny", "", "\x0b\u2028z"]
    with pytest.raises(ValueError, match="no column"):
        text.column("missing")
