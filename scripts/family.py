"""The parent of a whole family is killed: `family.py [TRIES [METHOD ...]]`.

The family: workers of a pool and of an executor, busy and idle, the standard executor's on our context, a manager, a
tree of processes, and processes that wait for a queue, wait for a lock, ignore SIGTERM inside C code that holds the
interpreter, or are stopped. Its parent gets SIGKILL. Checked, a second later: no process that was started by it is
left, nobody has its arena mapped (so the kernel has freed it), and no file has been left in the temporary directory or,
of those that the family had mapped or open, in /dev/shm.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import procession

METHODS = ("fork", "spawn", "forkserver")
WITHIN_S = 1.0
MARK = "PROCESSION_FAMILY"  # variable of the environment that the whole family has
DEPTH = 3


# The family


def tell(begun: Any) -> None:
    begun.put(os.getpid())


def sleep(begun: Any) -> None:
    tell(begun)
    time.sleep(600)


def get(begun: Any, queue: Any) -> None:
    tell(begun)
    queue.get()


def acquire(begun: Any, lock: Any) -> None:
    warnings.simplefilter("ignore")  # it gets the lock when its owner is killed, and dies with it
    tell(begun)
    lock.acquire()


def hang(begun: Any) -> None:
    """Never return to Python, and ignore who asks to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell(begun)
    sum(repeat(0))


def stop(begun: Any) -> None:
    tell(begun)
    os.kill(os.getpid(), signal.SIGSTOP)


def grow(begun: Any, method: str, depth: int) -> None:
    """A process with a pool and a child, and so on."""
    context = procession.get_context(method)
    if depth > 1:
        context.Process(target=grow, args=(begun, method, depth - 1)).start()
    pool = context.Pool(1)
    pool.apply(abs, (1,))
    sleep(begun)


def be(method: str) -> None:
    """Be the parent: start everything, say so, wait."""
    context: Any = procession.get_context(method)
    begun, queue, lock = context.Queue(), context.Queue(), context.Lock()
    lock.acquire()
    kept: list[Any] = [context.Pool(1), procession.Executor(1, context=context), context.Manager().list([1])]
    kept[0].apply(abs, (1,))
    kept[1].submit(abs, 1).result()
    busy = [context.Pool(1), procession.Executor(1, context=context), ProcessPoolExecutor(1, mp_context=context)]
    busy[0].apply_async(sleep, (begun,))
    for executor in busy[1:]:
        executor.submit(sleep, begun)
    targets: list[tuple[Any, ...]] = [
        (get, queue),
        (acquire, lock),
        (hang,),
        (stop,),
        (grow, method, DEPTH),
    ]
    children = [
        context.Process(target=target, args=(begun, *args), daemon=bool(number % 2))
        for number, (target, *args) in enumerate(targets)
    ]
    for child in children:
        child.start()
    for _ in range(3 + len(targets) + DEPTH - 1):
        begun.get(timeout=60)
    print("ready", flush=True)
    time.sleep(600)


# The killer


@dataclass
class Report:
    """What the tries came to."""

    method: str
    tries: int = 0
    processes: int = 0  # of one family
    slowest_s: float = 0.0
    orphans: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)  # mappings, descriptors, files

    def __str__(self) -> str:
        return (
            f"{self.method}: {self.tries} parents killed, families of {self.processes} processes: "
            f"{len(self.orphans)} orphans after {WITHIN_S:g} s, {len(self.left)} things left; "
            f"the slowest family was gone after {self.slowest_s * 1000:.0f} ms"
        )


def family_of(mark: str) -> dict[int, str]:
    """Pids and names of the living processes that have this mark."""
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                entry.name.isdigit()
                and wanted in (entry / "environ").read_bytes().split(b"\0")
                and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
            ):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")[:200]
    return found


def arena_of(pid: int) -> str:
    """What names the arena that this process has mapped, in every list of mappings: device and inode."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if "memfd:procession-arena" in line:
            return " ".join(line.split()[3:5])
    raise LookupError("it has no arena")


def who_has(arena: str) -> list[str]:
    """The processes that have this arena mapped."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f" {arena} " in (entry / "maps").read_text():
                found.append(f"process {entry.name} has the arena")
    return found


def named_memory(pids: Iterable[int]) -> set[str]:
    """The files in /dev/shm that these processes have mapped or open."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            mapped = Path(f"/proc/{pid}/maps").read_text().splitlines()
            found |= {line.split()[5] for line in mapped if "/dev/shm/" in line}
            found |= {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return {path for path in found if path.startswith("/dev/shm/")}


def try_once(method: str, report: Report) -> None:
    """Start a family, kill its parent, see what is left."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, MARK: mark, "TMPDIR": directory}
        command = [sys.executable, __file__, "--be", method]
        parent = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)
        try:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n", "the family did not begin"
            family = family_of(mark)
            arena, named = arena_of(parent.pid), named_memory(family)
            report.processes = len(family)
            begin = time.monotonic()
            parent.kill()
            while family_of(mark) and time.monotonic() < begin + WITHIN_S:
                time.sleep(0.01)
            report.slowest_s = max(report.slowest_s, time.monotonic() - begin)
        finally:
            orphans = family_of(mark)
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            parent.communicate()
        report.tries += 1
        report.orphans += orphans.values()
        report.left += who_has(arena) + os.listdir(directory) + [path for path in named if os.path.exists(path)]


def kill_parents(method: str, tries: int) -> Report:
    """So many families under one start method."""
    report = Report(method)
    for _ in range(tries):
        try_once(method, report)
    return report


def main() -> None:
    """Fifty parents under each start method, if not told otherwise."""
    if sys.argv[1:2] == ["--be"]:
        be(sys.argv[2])
        return
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    failed = False
    for method in sys.argv[2:] or METHODS:
        report = kill_parents(method, tries)
        print(report, *report.orphans, *report.left, sep="\n    ", flush=True)
        failed = failed or bool(report.orphans or report.left)
    sys.exit(failed)


if __name__ == "__main__":
    main()
