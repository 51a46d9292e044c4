"""Builds the text and the table that the map-reduce benchmark reads: `python -m benchmarks.mapreduce.corpus --to DIR`.

The text is the documentation and source in Debian packages (`packages.txt`): fetched with `apt-get download`, which
needs no root, and read straight from the archives. Nothing is installed and nothing repeats: of files with equal
content one is kept, and HTML is reduced to what a reader sees, as its tags repeat. What comes out, in DIR:

    texts/PACKAGE/...   every text file kept, as UTF-8; the other files come from these
    text-1x.txt         the files one after another in the order of their hashes, so that each part of it is like any
                        other; 1x is 320 MiB of whole lines, text-2x.txt and text-4x.txt go on from there
    files-1x/           the files of text-1x.txt as files (hard links)
    table-1x.csv        320 MiB of records: id, city, quantity, price, date, comment; 2x and 4x likewise
    about.json          sizes, words, distinct words, packages with their versions

White space other than a line end is written as a blank. Python, DuckDB and Polars disagree about what white space is;
with blanks alone all can split in the cheapest way they have and must find the same words. Prices are whole quarters:
sums of them are exact in any order, so means must agree to the last bit.

A second run with the same packages gives the same bytes. It needs about 7 GiB of disk and a few minutes.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import hashlib
import html
import io
import json
import lzma
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from benchmarks.mapreduce.table_file import write_tables

MIB = 1 << 20
ONE_MIB = 320  # what 1x means
LARGEST = 8 * MIB  # larger files are data or indices more often than text
PAGES = (".html", ".htm", ".xhtml")
SUFFIXES = (*PAGES, ".txt", ".rst", ".md", ".tex", ".texi", ".info", ".xml", ".ly", ".dict")
MANUAL = re.compile(r"\.[1-9][a-z]*$")
SOURCE = (*SUFFIXES, ".c", ".h", ".cc", ".S", ".dts", ".dtsi", ".py", ".sh", ".ads", ".adb", ".go", ".d", ".exp")
GENERATED = "/drm/amd/include/"  # a quarter of Linux: tables of register numbers, mostly blanks
TAG = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^<>]*>", re.DOTALL | re.IGNORECASE)
BARE = ("README", "NEWS", "HISTORY", "COPYING", "AUTHORS", "FAQ", "TODO", "changelog", "NOTES")
EMPTY = re.compile(r"\n\s*\n")
BLANKS = re.compile(r"[^\S\n]")
LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")  # whatever str.splitlines takes for one
PACKAGES = Path(__file__).with_name("packages.txt")


def default_place() -> Path:
    """Outside the repository: the user's cache directory."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "procession-benchmarks"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mapreduce.corpus", description=__doc__.split("\n")[0])
    parser.add_argument("--to", type=Path, default=default_place(), help="where to; default: %(default)s")
    parser.add_argument("--mib", type=int, default=ONE_MIB, help="what 1x means; default: %(default)s")
    options = parser.parse_args()
    build(options.to, options.mib)


def build(place: Path, mib: int = ONE_MIB) -> None:
    """Everything the docstring of the module lists, into `place`."""
    (place / "packages").mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    versions = collect(place, 4 * mib * MIB)
    files = sorted(filter(Path.is_file, (place / "texts").rglob("*")), key=digest_of)
    about: dict[str, Any] = {"mib": mib, "packages": versions}
    about["text"] = write_texts(place, files, mib)
    link_files(place, files[: about["text"]["1x"]["files"]])
    about["table"] = write_tables(place, place / "text-1x.txt", mib * MIB)
    about["text"]["1x"] |= count_words(place / "text-1x.txt")
    (place / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    print(json.dumps(about, indent=1))
    print(f"{time.perf_counter() - started:.0f} s")


# -- packages -> texts/


def collect(place: Path, enough: int) -> dict[str, str]:
    """Fetches packages and keeps their texts until there are `enough` bytes. Returns package -> version."""
    shutil.rmtree(place / "texts", ignore_errors=True)
    seen: set[bytes] = set()
    versions: dict[str, str] = {}
    have = 0
    names = [line for line in PACKAGES.read_text().splitlines() if line and not line.startswith("#")]
    with Pool(2) as pool:  # two packages at a time, one being fetched while another is read
        for name, version, texts in pool.imap(keep_texts, [(place, name) for name in names]):
            before = have
            for digest, size, path in texts:
                if digest in seen or have >= enough + 2 * MIB:
                    path.unlink()
                    continue
                seen.add(digest)
                have += size
            if version:
                versions[name] = version
            print(f"{name:<28} {(have - before) / MIB:7.1f} MiB   {have / MIB:7.0f} in all", flush=True)
            if have >= enough + 2 * MIB:
                break  # the pool ends with the block
    return versions


def keep_texts(task: tuple[Path, str]) -> tuple[str, str, list[tuple[bytes, int, Path]]]:
    """Writes one package's texts to files. Returns its name, its version and (digest, size, path) of each file."""
    place, name = task
    archive = fetch(place / "packages", name)
    kept: list[tuple[bytes, int, Path]] = []
    for path, data in texts_of(archive) if archive else ():
        kept.append((hashlib.sha1(data).digest(), len(data), place / "texts" / name / path))
        write_text(kept[-1][2], data)
    return name, archive.name.split("_")[1].replace("%3a", ":") if archive else "", kept


def fetch(folder: Path, name: str) -> Path | None:
    """The package's archive, fetched unless it is there; None if the distribution has no such package."""
    if not any(folder.glob(f"{name}_*.deb")):
        subprocess.run(["apt-get", "download", "-q", name], cwd=folder, capture_output=True, check=False)
    return next(iter(sorted(folder.glob(f"{name}_*.deb"))), None)


def texts_of(archive: Path) -> Iterator[tuple[str, bytes]]:
    """(path, text as UTF-8) of each text file of a package; a source package's inner archive is opened too."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            for path, data in members(tar):
                if path.endswith((".tar.xz", ".tar.gz")):
                    with tarfile.open(fileobj=io.BytesIO(data)) as inner:
                        yield from cleaned(members(inner), SOURCE)
                else:
                    yield from cleaned([(path, data)], SUFFIXES)


def members(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        if member.isfile() and (file := tar.extractfile(member)) is not None:
            yield member.name.removeprefix("./").removeprefix("usr/share/"), file.read()


def cleaned(files: Any, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Those files that are text by name and content, decompressed, line ends and blanks made one kind each."""
    for path, packed in files:
        path, data = unpacked(path, packed)
        name = path.rpartition("/")[2]
        if not (name.endswith(suffixes) or MANUAL.search(name) or name.startswith(BARE)):
            continue
        if data and len(data) <= LARGEST and b"\0" not in data and GENERATED not in path:
            yield path, one_kind(data, is_page=name.endswith(PAGES)).encode()


def unpacked(path: str, data: bytes) -> tuple[str, bytes]:
    for suffix, module in ((".gz", gzip), (".dz", gzip), (".xz", lzma), (".bz2", bz2)):
        if path.endswith(suffix) and ".tar" not in path:
            return path.removesuffix(suffix), module.decompress(data)
    return path, data


def one_kind(data: bytes, is_page: bool) -> str:
    """As text that ends with a line end; of a page, what a reader sees. What is not UTF-8 is read as Latin 1, which old
    manuals are."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if is_page:
        text = html.unescape(TAG.sub(" ", text))
    text = BLANKS.sub(" ", LINE_ENDS.sub("\n", text.removeprefix("\ufeff")))
    text = EMPTY.sub("\n\n", text)
    return text if text.endswith("\n") else text + "\n"


def write_text(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


# -- texts/ -> text-Nx.txt, files-1x/


def digest_of(path: Path) -> bytes:
    return hashlib.sha1(path.read_bytes()).digest()


def write_texts(place: Path, files: list[Path], mib: int) -> dict[str, dict[str, int]]:
    """text-1x.txt, -2x and -4x: the same beginning, each cut at the last line end within its size."""
    about = {}
    for times in (1, 2, 4):
        size = used = 0
        limit = times * mib * MIB
        with open(place / f"text-{times}x.txt", "wb") as out:
            for path in files:
                used += 1
                data = path.read_bytes()
                if size + len(data) > limit:
                    data = data[: data.rfind(b"\n", 0, limit - size) + 1]
                out.write(data)
                size += len(data)
                if size + MIB // 16 > limit:
                    break
        about[f"{times}x"] = {"bytes": size, "files": used}
    return about


def link_files(place: Path, files: list[Path]) -> None:
    root = place / "files-1x"
    shutil.rmtree(root, ignore_errors=True)
    for path in files:
        link = root / path.relative_to(place / "texts")
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, link)


def count_words(path: Path) -> dict[str, int]:
    words = 0
    distinct: set[str] = set()
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = line.split()
            words += len(found)
            distinct.update(found)
    return {"words": words, "distinct_words": len(distinct)}


if __name__ == "__main__":
    main()
