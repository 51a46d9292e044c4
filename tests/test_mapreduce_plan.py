"""Dividing input: against the plainest model, the bytes of the pieces, put in order again, are the bytes of the files,
and every cut stands behind a line's end. And what cannot be divided."""

from __future__ import annotations

import io
import os
import pickle
import random
import sys
from pathlib import Path

import pytest

from procession.errors import InputError
from procession.mapreduce import Files, form, plan
from procession.mapreduce import errors as causes
from procession.mapreduce.reading import read_bytes


def random_text(rng: random.Random, lines: int) -> bytes:
    """Lines of very different lengths, some empty, CRLF among them, multi-byte characters everywhere."""
    parts = []
    for _ in range(lines):
        length = rng.choice([0, 0, 1, 7, 40, 300, 5000])
        parts.append("".join(rng.choice("ab é€𝄞\t") for _ in range(length)) + rng.choice(["\n", "\n", "\r\n"]))
    text = "".join(parts)
    return (text if rng.random() < 0.5 else text + "no newline at the end").encode()


@pytest.mark.parametrize("seed", range(25))
def test_every_byte_is_in_one_piece_and_cuts_stand_behind_lines(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(plan, "PIECE_BYTES", rng.choice([1, 10, 1000, 20_000]))
    monkeypatch.setattr(plan, "SMALLEST_PIECE_BYTES", 1)
    monkeypatch.setattr(plan, "BORDER_PROBE_BYTES", rng.choice([1, 13, 4096]))
    expected = {}
    for number in range(rng.randrange(1, 6)):
        path = tmp_path / f"file{number}"
        path.write_bytes(random_text(rng, rng.randrange(0, 40)))
        expected[str(path)] = path.read_bytes()
    files = Files(tmp_path)
    divided = files.divide(2)
    sizes = [piece.size_bytes for piece in divided.pieces]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == divided.size_bytes == sum(map(len, expected.values()))
    assert divided.files == len(expected)
    found: dict[str, list[bytes]] = {path: [] for path in expected}
    pieces = sorted(divided.pieces, key=lambda piece: piece.order)
    assert [piece.order for piece in pieces] == list(range(len(pieces)))
    for span in (span for piece in pieces for span in piece.spans):
        assert span.offset == sum(map(len, found[span.path])), "in the order of the input"
        found[span.path].append(read_bytes(span))
    for path, parts in found.items():
        assert b"".join(parts) == expected[path]
        assert all(part.endswith(b"\n") for part in parts[:-1])
    assert "".join(text for piece in pieces for text in files.read(piece)).encode() == b"".join(expected.values())


def test_pieces_become_smaller_towards_the_end(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"0123456\n" * (2 << 20))
    sizes = [piece.size_bytes for piece in Files(tmp_path).divide(2).pieces]
    assert sizes[0] == plan.PIECE_BYTES
    assert sizes[-1] < 3 * plan.SMALLEST_PIECE_BYTES
    left = sum(sizes)
    for size in sizes[:-1]:
        assert size <= max(left / 8 + 100, 2 * plan.SMALLEST_PIECE_BYTES), "no piece is most of what is left"
        left -= size


def test_small_files_are_put_together(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"small{number:03}").write_bytes(b"a word\n" * 150)
    pieces = Files(tmp_path).divide(2).pieces
    assert len(pieces) <= 6
    assert sum(len(piece.spans) for piece in pieces) == 300


def test_pieces_of_a_very_large_input_are_larger_rather_than_more(tmp_path: Path) -> None:
    guide = plan.Guide(1 << 40, workers=8)
    assert guide.goal() == (1 << 40) // plan.MOST_PIECES
    guide.took((1 << 40) - 100)
    assert guide.goal() == plan.SMALLEST_PIECE_BYTES


LONG = (2 << 30) + 4096


def test_an_endless_line_is_one_piece(tmp_path: Path) -> None:
    # 2 GiB without a newline, but none of it on the disk: zeros are read, and no number overflows
    with open(tmp_path / "line", "wb") as file:
        file.write(b"first\n")
        file.seek(LONG)
        file.write(b"\nlast\n")
    pieces = Files(tmp_path / "line").divide(2).pieces
    assert [piece.size_bytes for piece in pieces] == [LONG + 1, 5]


def test_nothing_but_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"\n" * (8 << 20))
    files = Files(tmp_path / "lines")
    pieces = files.divide(2).pieces
    assert max(piece.size_bytes for piece in pieces) <= plan.roomy(plan.PIECE_BYTES)
    assert sum(text.count("\n") for piece in pieces for text in files.read(piece)) == 8 << 20


def test_a_piece_travels_small(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"file{number}").write_bytes(b"a word\n")
    files = Files(*map(str, tmp_path.iterdir()))
    (piece,) = files.divide(2).pieces
    again = pickle.loads(pickle.dumps(piece))
    assert again == piece
    assert len(pickle.dumps(piece)) < 100 * (len(str(tmp_path)) + 80)
    assert len(pickle.dumps(files)) < 1000
    assert [str(text) for text in pickle.loads(pickle.dumps(files)).read(again)] == ["a word\n"] * 100


@pytest.mark.parametrize(
    ("encoding", "cut"),
    [
        *((name, True) for name in ("utf-8", "utf-8-sig", "latin-1", "cp932", "gb18030")),
        *((name, False) for name in ("utf-16", "utf-16-le", "utf-32", "iso2022_jp", "utf-7", "hz", "cp037")),
    ],
)
def test_only_encodings_that_allow_it_are_cut(encoding: str, cut: bool) -> None:
    assert form.cuts_at_newlines(encoding) is cut


def test_directories_leave_out_binaries_and_links(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "text").write_text("one two\n")
    (tmp_path / "a").write_text("three\n")
    (tmp_path / "binary").write_bytes(b"one\0two\n")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to(tmp_path)
    divided = Files(tmp_path).divide()
    assert [os.path.relpath(span.path, tmp_path) for span in divided.pieces[0].spans] == ["a", "b/text"]
    assert (divided.files, divided.binary_files) == (2, 1)
    assert Files(tmp_path / "binary", tmp_path / "link").divide().files == 2, "what is named itself is taken"
    assert Files(tmp_path, takes="bytes", binary=True).divide().files == 3


def test_patterns_and_repeated_names(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("one.txt", "deep/two.txt", "deep/er/three.txt", "deep/four.log"):
        (tmp_path / name).write_text("x\n")
    assert Files(tmp_path / "**" / "*.txt").divide().files == 3
    assert Files(tmp_path / "*.txt", tmp_path / "one.txt").divide().files == 2


def test_a_stream_is_copied_and_the_copy_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a stream\n")))
    files = Files("-")
    with files.divide() as divided:
        (copy,) = divided.copies
        assert os.fstat(copy.fileno()).st_nlink == 0  # it has no name
        (text,) = files.read(divided.pieces[0])
        assert (text, text.path) == ("from a stream\n", "<stdin>")
    assert copy.closed


@pytest.mark.parametrize("name", ["nothing", "*.nothing", "empty_directory"])
def test_input_that_names_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty_directory").mkdir()
    with pytest.raises(causes.NoInput) as caught:
        Files(tmp_path / name).divide()
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.filename == str(tmp_path / name)


def test_no_copy_is_left_by_an_input_that_cannot_be_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a stream\n")))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(causes.NoInput):
        Files("-", tmp_path / "nothing").divide()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"takes": "lines"}, "not as 'lines'"),
        ({"delimiter": "||"}, "not '||'"),
        ({"delimiter": '"'}, "a delimiter is"),
        ({"delimiter": "é"}, "a delimiter is"),
        ({"takes": "csv-bytes", "encoding": "utf-16"}, "CSV in utf-16"),
    ],
)
def test_options_that_cannot_be(options: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("|", r"\|")):
        Files("text", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"encoding": "nonsense"}, {"errors": "nonsense"}])
def test_encodings_that_there_are_not(options: dict[str, str]) -> None:
    with pytest.raises(LookupError, match="nonsense"):
        Files("text", **options)  # type: ignore[arg-type]
