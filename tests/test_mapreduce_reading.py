"""Reading pieces: what text, bytes and places come out, in any encoding, and files that change or hold no text."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from procession.mapreduce import Files, Raw, Text, plan
from procession.mapreduce import errors as causes
from procession.mapreduce.stretches import Stretch


@pytest.fixture
def tiny_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "PIECE_BYTES", 50)
    monkeypatch.setattr(plan, "SMALLEST_PIECE_BYTES", 50)


def stretches(files: Files) -> list[Stretch]:
    """Everything, in the order of the input."""
    with files.divide(2) as divided:
        pieces = sorted(divided.pieces, key=lambda piece: piece.order)
        return [stretch for piece in pieces for stretch in files.read(piece)]


@pytest.mark.usefixtures("tiny_pieces")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "cp932", "gb18030", "iso2022_jp"])
def test_text_in_any_encoding_is_read_once(encoding: str, tmp_path: Path) -> None:
    text = "日本 語の 文 words\nカタカナ\n" * 40
    (tmp_path / "text").write_bytes(text.encode(encoding))
    parts = stretches(Files(tmp_path, encoding=encoding))
    assert "".join(map(str, parts)) == text
    assert (len(parts) > 1) is form_is_cut(encoding)


@pytest.mark.usefixtures("tiny_pieces")
def test_a_byte_order_mark_is_one_only_at_the_start(tmp_path: Path) -> None:
    text = "\ufeffa line that begins with a zero-width space\n" * 10
    (tmp_path / "text").write_bytes(text.encode())
    assert "".join(map(str, stretches(Files(tmp_path / "text", encoding="utf-8-sig")))) == text[1:]


def form_is_cut(encoding: str) -> bool:
    return encoding in ("utf-8", "utf-8-sig", "cp932", "gb18030")


@pytest.mark.usefixtures("tiny_pieces")
def test_a_stretch_knows_its_place(tmp_path: Path) -> None:
    data = "é and more\n".encode() * 40
    (tmp_path / "text").write_bytes(data)
    for takes, kind in (("text", Text), ("bytes", Raw)):
        offset = 0
        for stretch in stretches(Files(tmp_path / "text", takes=takes)):
            assert type(stretch) is kind
            assert (stretch.path, stretch.offset) == (str(tmp_path / "text"), offset)
            length = len(stretch.encode() if isinstance(stretch, str) else stretch)
            assert str(stretch.place) == f"{tmp_path / 'text'}, bytes {offset}–{offset + length}"
            assert stretch.size_bytes == length
            again = pickle.loads(pickle.dumps(stretch))
            assert (again, again.path, again.place) == (stretch, stretch.path, stretch.place)
            offset += length
        assert offset == len(data)


def test_bytes_are_not_decoded_and_their_parts_are_keys(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"caf\xe9 \xff\n")
    (raw,) = stretches(Files(tmp_path / "text", takes="bytes"))
    assert dict.fromkeys(raw.split(), 1) == {b"caf\xe9": 1, b"\xff": 1}


def truncate(path: Path) -> None:
    os.truncate(path, 12)


def grow(path: Path) -> None:
    with path.open("a") as file:
        file.write("two\n")


def replace(path: Path) -> None:
    path.with_name("other").write_text("two\n" * 10)
    os.utime(path.with_name("other"), ns=(0, 0))
    path.with_name("other").rename(path)


@pytest.mark.parametrize("change", [truncate, grow, replace, Path.unlink])
def test_an_input_that_changes_before_it_is_read(change: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("one\n" * 10)
    os.utime(path, ns=(0, 0))
    files = Files(path)
    (piece,) = files.divide().pieces
    change(path)
    with pytest.raises(causes.InputChanged) as caught:
        list(files.read(piece))
    assert str(path) in str(caught.value)
    assert caught.value.path == str(path)


@pytest.mark.parametrize("change", [truncate, grow])
def test_an_input_that_changes_while_it_is_read(
    change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text"
    path.write_text("one\n" * 10)
    os.utime(path, ns=(0, 0))
    files = Files(path)
    (piece,) = files.divide().pieces
    read = os.pread

    def changing(descriptor: int, size: int, offset: int) -> bytes:
        change(path)
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", changing)
    with pytest.raises(causes.InputChanged):
        list(files.read(piece))


@pytest.mark.parametrize("takes", ["text", "csv"])
def test_an_input_that_shrinks_while_it_is_divided(takes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"word\n" * (1 << 20))
    monkeypatch.setattr(plan, "stamp_of", lambda status: shrunk(path, status))
    with pytest.raises(causes.InputChanged):
        Files(path, takes=takes).divide()


def shrunk(path: Path, status: os.stat_result) -> tuple[int, int, int]:
    """The stamp that was expected, of a file that is shorter when it is read next."""
    os.truncate(path, 10)
    return status.st_size, status.st_mtime_ns, status.st_ino


def test_reading_goes_on_where_the_system_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    path.write_text("one two three\n")
    files = Files(path)
    (piece,) = files.divide().pieces
    read = os.pread  # the system reads at most 2 GiB at a time: here 5 bytes
    monkeypatch.setattr(os, "pread", lambda descriptor, size, offset: read(descriptor, min(size, 5), offset))
    assert [str(text) for text in files.read(piece)] == ["one two three\n"]


@pytest.mark.usefixtures("tiny_pieces")
def test_an_input_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"a line of text\n" * 10 + b"caf\xe9\n")
    with pytest.raises(causes.InputNotText, match="byte 153 is not utf-8") as caught:
        stretches(Files(path))
    assert (caught.value.path, caught.value.offset) == (str(path), 153)
    assert isinstance(caught.value, UnicodeError)
    assert "".join(map(str, stretches(Files(path, errors="replace")))).endswith("caf\N{REPLACEMENT CHARACTER}\n")
    assert "".join(map(str, stretches(Files(path, errors="ignore")))).endswith("caf\n")


def test_an_input_that_may_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(causes.InputUnreadable):
        Files("/proc/self/mem").divide()


def test_errors_survive_the_way_from_a_worker() -> None:
    for error in (
        causes.InputNotText("a", 3, "utf-8", "bad"),
        causes.InputNotText("a", 3, "utf-8", "bad", unpacked=True),
        causes.InputChanged("a"),
        causes.InputBroken("a", "is damaged"),
        causes.NoDecompressor("a", "is compressed"),
        causes.InputUnreadable(13, "not allowed", "a"),
        causes.NoInput(2, "nothing", "a"),
        causes.JobFailed("it failed", "Traceback: …"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert again.__dict__ == error.__dict__
        assert getattr(again, "errno", None) == getattr(error, "errno", None)
