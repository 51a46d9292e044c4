"""Compressed input: the same text as the plain file, in bounded memory, and clear errors for what is damaged."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import os
import random
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession.mapreduce import CsvText, Files, compressed, reading
from procession.mapreduce import errors as causes


def zstd() -> Any:
    """The module that writes it, if there is one."""
    for place in compressed.ZSTD_PLACES:
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError:
            continue
    return pytest.skip("no zstd in this interpreter")


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: zstd().compress(data),
}
EACH = pytest.mark.parametrize("packer", PACKERS)


def read(files: Files) -> list[Any]:
    """All stretches of the input."""
    return [stretch for piece in files.divide(2).pieces for stretch in files.read(piece)]


@EACH
def test_what_it_unpacks_to_is_read_in_windows_of_whole_lines(
    packer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WINDOW_BYTES", 1000)
    rng = random.Random(1)
    lines = [("wörd " * rng.choice([0, 1, 30, 900])).encode() + b"\n" for _ in range(200)]
    text = b"".join(lines) + b"the end"
    path = tmp_path / f"text.{packer}"
    path.write_bytes(PACKERS[packer](text))
    parts = read(Files(path))
    assert "".join(map(str, parts)).encode() == text
    assert len(parts) > 20
    assert all(part.endswith("\n") for part in parts[:-1])
    assert sum(part.size_bytes for part in parts) == path.stat().st_size
    offset = 0
    for part in parts:
        assert (part.path, part.offset) == (str(path), offset)
        assert str(part.place) == f"{path}, unpacked bytes {offset}–{offset + len(part.encode())}"
        offset += len(part.encode())


@EACH
def test_streams_one_after_another_are_one(packer: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(PACKERS[packer](b"one\ntw") + PACKERS[packer](b"") + PACKERS[packer](b"o\n"))
    assert "".join(map(str, read(Files(tmp_path / "text")))) == "one\ntwo\n"


@EACH
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_what_ends_too_early(packer: str, kept: float, tmp_path: Path) -> None:
    data = PACKERS[packer](random.Random(2).randbytes(100_000).hex().encode())
    (tmp_path / "text").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(causes.InputBroken, match=r"text: the .* data ends too early") as caught:
        read(Files(tmp_path / "text"))
    assert caught.value.path == str(tmp_path / "text")


@EACH
def test_what_is_damaged(packer: str, tmp_path: Path) -> None:
    data = bytearray(PACKERS[packer](random.Random(2).randbytes(100_000).hex().encode()))
    for place in range(len(data) // 2, len(data) // 2 + 20):
        data[place] ^= 0x55
    (tmp_path / "text").write_bytes(data)
    with pytest.raises(causes.InputBroken, match=r"text: the .* data is damaged"):
        read(Files(tmp_path / "text"))


def test_damage_in_a_file_that_changed_is_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress(random.Random(2).randbytes(1 << 20)))
    files = Files(path, takes="bytes")
    (piece,) = files.divide().pieces
    monkeypatch.setattr(reading, "WINDOW_BYTES", 1000)
    stretches = files.read(piece)
    next(stretches)
    os.truncate(path, 300_000)
    with pytest.raises(causes.InputChanged, match=r"text\.gz"):
        list(stretches)


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "plain.gz").write_bytes(b"plain text\n")
    (tmp_path / "packed.txt").write_bytes(gzip.compress(b"packed text\n"))
    assert {str(text) for text in read(Files(tmp_path))} == {"plain text\n", "packed text\n"}
    assert b"".join(read(Files(tmp_path / "packed.txt", takes="bytes", unpack=False)))[:2] == b"\x1f\x8b"


def test_directories_leave_out_what_unpacks_to_no_text(tmp_path: Path) -> None:
    (tmp_path / "archive.tar.gz").write_bytes(gzip.compress(b"name\0\0\0" * 100))
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"text\n"))
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    divided = Files(tmp_path).divide()
    assert (divided.files, divided.binary_files) == (2, 1)


def test_the_largest_when_unpacked_comes_first(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"word\n" * 100)
    (tmp_path / "b.gz").write_bytes(gzip.compress(random.Random(3).randbytes(90_000).hex().encode()))
    (tmp_path / "c").write_bytes(b"word\n" * 20_000)
    (first, *_) = Files(tmp_path).divide(1).pieces
    assert first.spans[0].path.endswith("b.gz")


def test_not_text_inside_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WINDOW_BYTES", 100)
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"0123456789abcde\n" * 1000 + b"caf\xe9\n"))
    with pytest.raises(causes.InputNotText, match=r"text.gz: byte 16003 of what it unpacks to is not utf-8") as caught:
        read(Files(tmp_path / "text.gz"))
    assert (caught.value.offset, caught.value.unpacked) == (16003, True)


@EACH
def test_csv(packer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WINDOW_BYTES", 50)
    (tmp_path / "t").write_bytes(PACKERS[packer](b"id,text\n" + b'1,"a\n,""b"\n2,c\n' * 500))
    parts = read(Files(tmp_path / "t", takes="csv"))
    assert len(parts) > 50
    assert all(isinstance(part, CsvText) and part.header == ["id", "text"] for part in parts)
    assert [row for part in parts for row in part.rows()] == [["1", 'a\n,"b'], ["2", "c"]] * 500


@pytest.mark.parametrize("encoding", ["utf-16", "iso2022_jp"])
def test_encodings_that_cannot_be_cut(encoding: str, tmp_path: Path) -> None:
    text = "日本, words\n" * 1000
    (tmp_path / "text.gz").write_bytes(gzip.compress(text.encode(encoding)))
    assert [str(part) for part in read(Files(tmp_path / "text.gz", encoding=encoding))] == [text]


def test_it_is_never_held_whole(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "text.gz", "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(b"a line of a large file\n" * 45_000)
    files = Files(tmp_path / "text.gz", takes="bytes")
    (piece,) = files.divide().pieces
    tracemalloc.start()
    try:
        total = sum(len(part) for part in files.read(piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == 64 * 45_000 * 23
    assert peak < total / 8


def test_zstd_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in compressed.ZSTD_PLACES:
        monkeypatch.setitem(sys.modules, place, None)  # as if it were not installed
    (tmp_path / "text.zst").write_bytes(b"\x28\xb5\x2f\xfd\x24\x05\x29\x00\x00hallo")
    with pytest.raises(causes.NoDecompressor, match=r"text\.zst: is compressed with zstd.*procession\[zstd\]"):
        read(Files(tmp_path / "text.zst"))
