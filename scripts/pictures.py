"""Makes the pictures of the documentation, from real runs: python scripts/pictures.py [NAME ...]

Each is a program below, watched by the real monitor for some seconds: `top-first`, `top-pool` and `top-deadlock` are
textual's own pictures of the screen (SVG), `top-web` is what a headless Chromium shows of `procession top --web` (PNG;
needs chromium or google-chrome); `doctor` and `bench` are what these commands print (SVG). They go to docs/pictures.
Look at them before they are committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
sys.path.insert(0, str(ROOT / "tests"))

from browser import Browser, find  # noqa: E402

from procession.monitor.screen import Top  # noqa: E402
from procession.monitor.watch import Watch  # noqa: E402

RENDER = '''\
"""Frames of a film are computed by a pool, two processes write them to disk, one counts."""
import procession, random, threading, time


def render(number):
    ends = time.process_time() + random.uniform(0.005, 0.03)
    while time.process_time() < ends:
        sum(range(1000))
    return number


def write(frames, index, written):
    while True:
        frame = frames.get()
        with index:
            time.sleep(0.08)
            with written:
                written.value += 1


def report(written, changed):
    while True:
        with changed:
            changed.wait()


if __name__ == "__main__":
    frames, index, written = procession.Queue(), procession.Lock(), procession.Value("q", 0)
    changed = procession.Condition()
    frames.name, index.name, written.name, changed.name = "frames", "index", "written", "changed"
    for number in (1, 2):
        process = procession.Process(target=write, args=(frames, index, written), name=f"writer-{number}", daemon=True)
        process.start()
    threading.Thread(target=report, args=(written, changed), name="reporter", daemon=True).start()
    with procession.Pool(3) as pool:
        pool.name = "film"
        for frame in pool.imap_unordered(render, range(24_000), chunksize=4):
            frames.put(b"pixels" * 100)
'''

TRANSFER = '''\
"""Two tellers move money both ways, each locks its own account first: one day they wait for each other for ever."""
import procession


def transfer(source, target, both):
    with source:
        both.wait()
        with target:
            pass


if __name__ == "__main__":
    savings, checking, both = procession.Lock(), procession.Lock(), procession.Barrier(2)
    savings.name, checking.name = "savings", "checking"
    tellers = [
        procession.Process(target=transfer, args=(savings, checking, both), name="teller-1", daemon=True),
        procession.Process(target=transfer, args=(checking, savings, both), name="teller-2", daemon=True),
    ]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
'''

WAITING = '''\
"""The first lesson of the tutorial: a child and a thread wait at a door for the main thread, which computes."""
import procession


def wait_twice(door):
    door.wait()
    door.wait()


if __name__ == "__main__":
    door = procession.Barrier(3)
    door.name = "door"
    procession.Process(target=wait_twice, args=(door,), name="child").start()
    procession.Thread(target=wait_twice, args=(door,), name="thread", daemon=True).start()
    door.wait()
    while True:
        sum(range(1000))
'''


@contextlib.contextmanager
def running(name: str, program: str, objects: int = 3) -> Iterator[int]:
    """The program in a folder of its own, once it has so many objects; its number."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_text(program)
        process = subprocess.Popen([sys.executable, name], cwd=folder)
        try:
            wait_for(lambda: watchable(process.pid, objects))
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def watchable(pid: int, objects: int) -> bool:
    """Whether it has made all that it makes at its start."""
    try:
        watch = Watch(pid)
    except LookupError:
        return False
    with contextlib.closing(watch):
        return len(watch.look().samples) >= objects


def wait_for(condition: Callable[[], bool]) -> None:
    """Returns once it is true."""
    import time

    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def screen(pid: int, size: tuple[int, int], seconds: float, *keys: str) -> str:
    """The monitor's screen after so many seconds and these keys, as SVG."""

    async def run() -> str:
        top = Top(Watch(pid), 0.5)
        async with top.run_test(size=size) as pilot:
            await pilot.pause(seconds)
            await pilot.press(*keys)
            await pilot.pause(1)
            return top.export_screenshot(title=f"procession top {pid}")

    # The picture wants a font from a public server; a picture in a document should not.
    return re.sub(r"@font-face \{.*?\}\s*", "", asyncio.run(run()), flags=re.DOTALL).replace(
        "Fira Code", "DejaVu Sans Mono"
    )


def top_pool() -> None:
    """Processes of a program with a pool at work; and its queues and locks."""
    with running("render.py", RENDER) as pid:
        (PICTURES / "top-pool.svg").write_text(screen(pid, (100, 22), 6))
        (PICTURES / "top-queues.svg").write_text(screen(pid, (100, 14), 12, "2"))
        (PICTURES / "top-pools.svg").write_text(screen(pid, (100, 14), 5, "4"))


def top_first() -> None:
    """A process with a thread, and a child."""
    with running("waiting.py", WAITING, 1) as pid:
        (PICTURES / "top-first.svg").write_text(screen(pid, (100, 14), 4, "down", "down"))


def top_deadlock() -> None:
    """Two processes and two locks."""
    with running("transfer.py", TRANSFER) as pid:
        (PICTURES / "top-deadlock.svg").write_text(screen(pid, (100, 18), 4, "down", "down"))


def top_web() -> None:
    """The same in a browser."""
    if find() is None:
        sys.exit("top-web needs a browser: chromium or google-chrome")

    async def run(address: str, folder: str) -> bytes:
        async with Browser(Path(folder), 1000, 520) as browser:
            await browser.call("Page.navigate", url=address)
            await browser.read_until("Processes")
            await asyncio.sleep(6)
            return await browser.picture()

    with running("render.py", RENDER) as pid, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-m", "procession", "top", "--web", str(pid)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = next(found.group() for line in server.stdout if (found := re.search(r"http://\S+", line)))
            (PICTURES / "top-web.png").write_bytes(asyncio.run(run(address, folder)))
        finally:
            server.terminate()
            server.communicate()


def command(name: str, *arguments: str) -> None:
    """What a command shows on a terminal of 80 columns, as SVG."""
    from rich.console import Console
    from rich.text import Text

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen([sys.executable, "-m", "procession", *arguments], stdout=theirs, env=environ)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # at the end of a terminal
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    process.wait()
    console = Console(record=True, width=80, file=io.StringIO())
    typed = f"$ procession {' '.join(arguments)}\n"
    console.print(Text.from_ansi(typed + shown.decode().replace("\r\n", "\n").rstrip()))
    text = console.export_svg(title="", unique_id=name)
    text = re.sub(r"@font-face \{.*?\}\s*", "", text, flags=re.DOTALL).replace("Fira Code", "DejaVu Sans Mono")
    (PICTURES / f"{name}.svg").write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


MAKERS = {
    "doctor": lambda: command("doctor", "doctor"),
    "bench": lambda: command("bench", "bench"),  # on a machine with nothing else to do
    "top-first": top_first,
    "top-pool": top_pool,
    "top-deadlock": top_deadlock,
    "top-web": top_web,
}

if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name]()
        print(f"{name}: made")
