"""The modules of multiprocessing under our name: aliases, shared memory with a name, the thread dummies."""

import importlib
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.shared_memory import ShareableList, SharedMemory

ALIASES = ["forkserver", "heap", "popen_fork", "popen_forkserver", "popen_spawn_posix", "reduction"]
ALIASES += ["resource_sharer", "resource_tracker", "spawn", "util"]
OURS = ["connection", "context", "dummy", "managers", "pool", "process", "queues", "shared_memory", "sharedctypes"]
OURS += ["synchronize"]


def run(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_is_the_standard_module(name: str) -> None:
    ours = importlib.import_module(f"procession.{name}")
    assert ours is importlib.import_module(f"multiprocessing.{name}")
    assert getattr(procession, name) is ours
    assert ours.__name__ == f"multiprocessing.{name}"


def test_aliases_are_imported_in_every_way() -> None:
    code = "import procession as p, multiprocessing.util as u; assert p.util is u; import procession.util as v; "
    code += "from procession import util as w; from procession.util import Finalize; assert v is w is u; "
    code += "import procession.heap as h; assert p.heap is h; import multiprocessing.heap as i; assert h is i"
    assert run(code).stderr == ""


def test_every_module_is_an_attribute() -> None:
    """Each in a fresh interpreter's view: nothing else has imported it."""
    code = "import procession, sys\n"
    code += f"for name in {OURS + ALIASES!r}:\n"
    code += "    module = getattr(procession, name); assert module is sys.modules[f'procession.{name}'], name\n"
    assert run(code).stderr == ""


def test_no_public_module_is_missing() -> None:
    names = {path.stem for path in Path(multiprocessing.__path__[0]).glob("*.py")} | {"dummy"}
    there = {name for name in names if not name.startswith("_") and "win32" not in name}
    assert there - set(OURS + ALIASES) == set()


@pytest.mark.parametrize("name", OURS)
def test_modules_have_the_public_names_of_the_standard_ones(name: str) -> None:
    standard = importlib.import_module(f"multiprocessing.{name}")
    ours = importlib.import_module(f"procession.{name}")
    assert [public for public in getattr(standard, "__all__", []) if not hasattr(ours, public)] == []


# Shared memory


def test_an_untracked_block_stays_until_it_is_unlinked() -> None:
    made = run(
        "from procession.shared_memory import SharedMemory\n"
        "block = SharedMemory(create=True, size=4, track=False); block.buf[0] = 7; print(block.name); block.close()\n"
        "import sys; tracker = sys.modules['multiprocessing.resource_tracker']\n"
        "assert tracker._resource_tracker._pid is None, 'a tracker was started'\n"
    )
    assert made.stderr == ""
    block = SharedMemory(made.stdout.strip(), track=False)
    assert (block.buf[0], block.size) == (7, 4)
    block.close()
    block.unlink()
    with pytest.raises(FileNotFoundError):
        SharedMemory(made.stdout.strip(), track=False)


def test_a_tracked_block_goes_with_its_program() -> None:
    made = run(
        "from procession.shared_memory import SharedMemory\n"
        "block = SharedMemory(create=True, size=4); print(block.name); block.close()"
    )
    assert "leaked shared_memory" in made.stderr
    assert not os.path.exists(f"/dev/shm/{made.stdout.strip()}")


def test_opening_untracked_leaves_the_makers_tracking_alone() -> None:
    """The tracker keeps one entry for each name: to register and take back would take the maker's."""
    made = run(
        "from procession.shared_memory import SharedMemory\n"
        "block = SharedMemory(create=True, size=4)\n"
        "other = SharedMemory(block.name, track=False); other.close()\n"
        "block.close(); block.unlink()\n"
    )
    assert made.stderr == ""


def test_names_and_sizes_are_checked() -> None:
    for track in (True, False):
        with pytest.raises(ValueError, match="positive"):
            SharedMemory(create=True, size=0, track=track)
        with pytest.raises(ValueError, match="positive"):
            SharedMemory(create=True, size=-1, track=track)
        with pytest.raises(ValueError, match="name"):
            SharedMemory(track=track)
        with pytest.raises(FileNotFoundError):
            SharedMemory("procession-not-there", track=track)
    block = SharedMemory("procession-test-twice", create=True, size=1, track=False)
    with pytest.raises(FileExistsError):
        SharedMemory("procession-test-twice", create=True, size=1, track=False)
    block.close()
    block.unlink()


def look(block: Any) -> int:
    try:
        return int(block.buf[0])
    finally:
        block.close()


def test_blocks_travel(process_context: Any) -> None:
    block = SharedMemory(create=True, size=4, track=False)
    try:
        block.buf[0] = 9
        worker = process_context.Process(target=look, args=(SharedMemory(block.name, track=False),))
        worker.start()
        assert worker.result() == 9
        worker.close()
    finally:
        block.close()
        block.unlink()


def test_shareable_lists_are_the_standard_ones() -> None:
    from multiprocessing import shared_memory

    assert ShareableList is shared_memory.ShareableList
    assert issubclass(SharedMemory, shared_memory.SharedMemory)


# Threads


def test_the_dummies_are_threads_and_the_pool_is_ours() -> None:
    from multiprocessing import dummy as standard

    from procession import dummy, pool

    assert dummy.Process is standard.Process
    assert dummy.Manager() is dummy
    assert dummy.Manager().list([1]) == [1]
    with dummy.Pool(2) as workers:
        assert type(workers) is pool.ThreadPool
        assert workers.map(abs, [-1, 2]) == [1, 2]
    workers.join()
    ended: list[int] = []
    thread = dummy.Process(target=ended.append, args=(1,))
    thread.start()
    thread.join()
    assert (ended, thread.exitcode) == ([1], 0)


def test_importing_and_installing_need_no_executable() -> None:
    """As in an embedded interpreter; starting a process by fork works there too."""
    code = "import sys; sys.executable = None\nimport procession; procession.install()\n"
    code += "import multiprocessing, multiprocessing.spawn\nfork = multiprocessing.get_context('fork')\n"
    code += "process = fork.Process(target=print, args=('ran',)); process.start(); process.join()\n"
    ended = run(code)
    assert (ended.stdout, ended.stderr) == ("ran\n", "")
