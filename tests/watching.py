"""The monitor's screen as tests drive it: textual's pilot on the real screen, which watches a real program."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from procession.monitor.screen import Top
from procession.monitor.watch import Watch

FAMILY = Path(__file__).with_name("watched_family.py")
INTERVAL_S = 0.05  # between two looks


class Family:
    """A running `watched_family.py`: its processes by name."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(FAMILY), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.pids: dict[str, int] = json.loads(self.process.stdout.readline())

    @property
    def pid(self) -> int:
        """Its first process."""
        return self.pids["main"]

    def end(self) -> int:
        """As it ends by itself: its exit code."""
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()
        return self.process.returncode


@contextlib.contextmanager
def family(*arguments: str) -> Iterator[Family]:
    """A program that runs as long as the block."""
    running = Family(*arguments)
    try:
        yield running
    finally:
        running.end()


class Screen:
    """The monitor at a terminal of this size."""

    def __init__(self, top: Top, pilot: Any) -> None:
        self.top, self.pilot = top, pilot

    @property
    def text(self) -> str:
        """What stands on the screen: the text of textual's own picture of it, line by line."""
        lines: dict[float, str] = {}
        # Its title, which stands in the frame, is no part of the screen.
        pieces = re.findall(
            r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', self.top.export_screenshot()
        )
        for left, y, piece in pieces:
            line = lines.get(float(y), "")
            lines[float(y)] = line.ljust(round(float(left) / 12.2)) + html.unescape(piece).replace("\xa0", " ")
        return "\n".join(lines[y] for y in sorted(lines))

    def line(self, word: str) -> str:
        """The first line that has this word."""
        return next((line for line in self.text.splitlines() if word in line), "")

    async def press(self, *keys: str) -> None:
        """Keys, one after the other."""
        await self.pilot.press(*keys)

    async def until(self, condition: Callable[[], object], timeout_s: float = 20) -> None:
        """Go on once this is true."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if condition():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"never came true; on the screen:\n{self.text}")

    async def shows(self, *words: str) -> None:
        """Go on once all this stands on the screen."""
        await self.until(lambda: all(word in self.text for word in words))

    async def choose(self, word: str) -> None:
        """Put the cursor on the row that has this word."""
        await self.until(lambda: self._number(word) is not None)
        number = self._number(word)
        await self.press("home", *["down"] * (number or 0))

    def _number(self, word: str) -> int | None:
        table = self.top.table
        name = next(column for column in table.columns if column.title in ("NAME", "POOL"))
        return next((number for number, row in enumerate(table.rows) if word in name.text(row)), None)


@contextlib.asynccontextmanager
async def screen(pid: int | None, width: int = 80, height: int = 24) -> AsyncIterator[Screen]:
    """The monitor, watching this program or all."""
    top = Top(Watch(pid), INTERVAL_S)
    async with top.run_test(size=(width, height), notifications=True) as pilot:
        shown = Screen(top, pilot)
        await shown.until(lambda: top.model.looks >= 2)
        yield shown


def drive(test: Callable[[], Any]) -> None:
    """Run a test that awaits."""
    asyncio.run(test())
