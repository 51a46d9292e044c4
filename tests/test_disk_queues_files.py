"""The files of a queue on disk: how large they are, a full disk, and files that are not as they were written."""

import errno
import gc
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.errors import HomeDamaged, HomeFull, NotAHome


@pytest.mark.slow
def test_many_items_take_neither_memory_nor_room(tmp_path: Path) -> None:
    queue = procession.Queue(path=tmp_path / "queue")

    def room() -> int:
        return sum(file.stat().st_blocks * 512 for file in (tmp_path / "queue").iterdir())

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    batch, most_room = ["x" * 100] * 1000, 0
    before = resident()
    for number in range(200):
        queue.put_many(batch)
        if number >= 5:
            got = 0
            while got < 1000:
                got += len(queue.get_many(1000 - got))
        most_room = max(most_room, room())
    assert queue.qsize() == 5000
    assert most_room < 8 << 20, "28 MB went through, and at most 0.7 were there at once"
    assert resident() - before < 16 << 20


def fill(queue: Any) -> int:
    """Put until there is no room on the disk: how many were put."""
    for number in itertools.count():
        try:
            queue.put((number, bytes(5000)))
        except HomeFull:
            return number
    raise AssertionError


def test_a_full_disk(small_disk: Path) -> None:
    queue = procession.Queue(path=small_disk / "queue")
    accepted = fill(queue)
    assert accepted > 30
    with pytest.raises(OSError, match="no room is left on the disk") as raised:
        queue.put(bytes(300_000))
    assert raised.value.errno == errno.ENOSPC
    assert [queue.get()[0] for _ in range(accepted)] == list(range(accepted))
    queue.put("after")
    assert queue.get() == "after"
    del queue, raised  # files are left with the last holder
    gc.collect()


def segments(path: Path) -> list[Path]:
    return sorted(path.glob("*.log"))


def test_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotAHome, match="file"):
        procession.Queue(path=tmp_path / "file")
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "thesis.txt").write_text("mine")
    with pytest.raises(NotAHome, match=r"thesis\.txt"):
        procession.Queue(path=tmp_path / "directory")
    assert [path.name for path in (tmp_path / "directory").iterdir()] == ["thesis.txt"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "queue").write_text("something else entirely" * 300)
    with pytest.raises(NotAHome):
        procession.Queue(path=tmp_path / "other")


def test_others_cannot_read_it(tmp_path: Path) -> None:
    (tmp_path / "open to all").mkdir(mode=0o755)
    for place in ("open to all", "made"):
        queue = procession.Queue(path=tmp_path / place)
        queue.put("secret")
        modes = [file.stat().st_mode & 0o777 for file in (tmp_path / place).iterdir()]
        assert modes == [0o600, 0o600]
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o700


def test_a_damaged_header(tmp_path: Path) -> None:
    procession.Queue(path=tmp_path / "queue").put(1)
    with open(tmp_path / "queue" / "queue", "r+b") as file:
        file.seek(100)
        file.write(b"\xff")
    with pytest.raises(HomeDamaged):
        procession.Queue(path=tmp_path / "queue")


def test_a_damaged_record(tmp_path: Path) -> None:
    queue = procession.Queue(path=tmp_path / "queue")
    for number in range(10):
        queue.put((number, b"precious"))
    queue.flush()
    queue.put("after that it is known what must be on the disk")
    del queue
    log = segments(tmp_path / "queue")[0]
    data = bytearray(log.read_bytes())
    at = -1
    for _ in range(5):
        at = data.index(b"precious", at + 1)
    data[at] ^= 1
    log.write_bytes(data)
    with pytest.raises(HomeDamaged, match=log.name):
        procession.Queue(path=tmp_path / "queue")
    assert procession.Queue(path=tmp_path / "queue", salvage=True).get() == (0, b"precious")


@pytest.mark.parametrize("restarted", [False, True])
def test_a_damaged_record_that_no_flush_vouches_for(restarted: bool, tmp_path: Path) -> None:
    """After a restart it may be what a power cut left, and that must not keep the queue shut."""
    queue = procession.Queue(path=tmp_path / "queue")
    for number in range(5):
        queue.put((number, b"precious"))
    del queue
    log = segments(tmp_path / "queue")[0]
    log.write_bytes(log.read_bytes().replace(b"precious", b"Precious", 3).replace(b"Precious", b"precious", 2))
    if restarted:
        with open(tmp_path / "queue" / "queue", "r+b") as file:
            file.seek(512)
            file.write(bytes(range(16)))
        assert names_of(procession.Queue(path=tmp_path / "queue")) == [0, 1]
    else:
        with pytest.raises(HomeDamaged, match=log.name):
            procession.Queue(path=tmp_path / "queue")
        assert names_of(procession.Queue(path=tmp_path / "queue", salvage=True)) == [0, 1, 3, 4]


def names_of(queue: Any) -> list[int]:
    found = []
    while not queue.empty():
        found.append(queue.get(timeout=0)[0])
    return found


@pytest.mark.parametrize("damage", ["record", "cut off", "missing", "both", "first", "start"])
def test_a_salvage_keeps_all_that_is_whole(damage: str, tmp_path: Path) -> None:
    where = tmp_path / "queue"
    queue = procession.JoinableQueue(path=where)
    for number in range(12):
        queue.put((number, bytes([number]) * 100_000))
    queue.flush()
    queue.put((12, b""))
    del queue
    logs = segments(where)
    assert len(logs) > 2
    if damage == "both":
        os.truncate(logs[0], 4096)  # within the first item, which is all zeros, so that it is whole again
    victim = logs[0] if damage == "first" else logs[1]
    if damage == "record":
        with open(victim, "r+b") as file:
            file.seek(50_000)
            file.write(b"garbage")
    elif damage in ("missing", "both", "first"):
        victim.unlink()
    elif damage == "cut off":
        os.truncate(victim, 5000)
    else:
        with open(victim, "r+b") as file:
            file.write(bytes([255]) * 64)
    if damage != "first":  # which may have been done with, for all that is known
        with pytest.raises(HomeDamaged, match="restore it from a copy"):
            procession.JoinableQueue(path=where)
    queue = procession.JoinableQueue(path=where, salvage=True)
    queue.put((13, b""))
    kept = names_of(queue)
    assert kept == sorted(set(kept))
    assert (kept[0] == 0) == (damage != "first")
    assert damage != "both" or 1 not in kept
    assert kept[-3:] == [11, 12, 13]
    assert 7 <= len(kept) < 14
    del queue
    gc.collect()
    assert names_of(procession.JoinableQueue(path=where)) == kept, "it was written down, once and for all"


def test_a_directory_without_its_header(tmp_path: Path) -> None:
    procession.Queue(path=tmp_path / "queue").put(1)
    (tmp_path / "queue" / "queue").unlink()
    with pytest.raises(HomeDamaged, match="'queue' is missing"):
        procession.Queue(path=tmp_path / "queue")
    assert segments(tmp_path / "queue")


def test_what_is_for_disks_only_asks_for_a_home() -> None:
    for options in ({"durability": "power"}, {"salvage": True}):
        with pytest.raises(TypeError, match="home"):
            procession.Queue(**options)


def test_a_link_to_a_queue(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("queue")  # which is not there yet
    queue = procession.Queue(path=tmp_path / "link")
    queue.put(1)
    assert procession.Queue(path=tmp_path / "queue").get(timeout=0) == 1
    queue.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_removed_queue_says_so(tmp_path: Path) -> None:
    queue, other = (procession.Queue(path=tmp_path / "queue") for _ in range(2))
    queue.put(1)
    queue.unlink()
    with pytest.raises(FileNotFoundError, match="was removed: close it"):
        other.get(timeout=0)


def test_a_bound_is_written_down_as_a_number(tmp_path: Path) -> None:
    queue = procession.Queue(True, path=tmp_path / "queue")
    assert procession.Queue(1, path=tmp_path / "queue").max_items == queue.max_items == 1
    with pytest.raises(TypeError):
        procession.Queue(path=tmp_path / "other", max_bytes=1.5)  # type: ignore[arg-type]
    procession.Queue(path=tmp_path / "other").put(1)


def test_a_salvage_needs_no_flush(tmp_path: Path) -> None:
    queue = procession.Queue(path=tmp_path / "queue")
    for number in range(3):
        queue.put((number, b"x" * 100))
    with open(segments(tmp_path / "queue")[0], "r+b") as file:
        file.seek(100)
        file.write(b"garbage")
    with pytest.raises(HomeDamaged, match="salvage=True"):
        queue.get(timeout=0)
    queue.close()
    assert names_of(procession.Queue(path=tmp_path / "queue", salvage=True)) == [1, 2]


def test_files_that_came_back_are_removed(tmp_path: Path) -> None:
    # As after a power cut: of files that were done with the last is gone, and one before it is there again.
    queue = procession.Queue(path=tmp_path / "queue", durability="power")
    for number in range(3):
        queue.put((number, bytes(400_000)))
    del queue
    _first, second, third = segments(tmp_path / "queue")
    second.unlink()
    queue = procession.Queue(path=tmp_path / "queue")
    assert segments(tmp_path / "queue") == [third]
    assert names_of(queue) == [1, 2]
    queue.put((3, b""))
    assert names_of(queue) == [3]
