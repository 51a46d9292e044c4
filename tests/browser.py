"""A headless Chromium, driven through its debugging protocol: what a page shows and loads, and typing into it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import aiohttp

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """A browser of this machine."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Browser:
    """A browser with one page; use it with `async with`."""

    def __init__(self, folder: Path, width: int = 1000, height: int = 640) -> None:
        self.size, self.folder = (width, height), folder
        self.requests: list[str] = []  # addresses that the page asked for
        self.frames = b""  # what came through its WebSockets
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def __aenter__(self) -> Browser:
        program = find()
        assert program is not None
        width, height = self.size
        self._process = subprocess.Popen(
            [
                program, "--headless", "--no-sandbox", "--disable-dev-shm-usage", "--remote-debugging-port=0",
                "--enable-unsafe-swiftshader", f"--user-data-dir={self.folder}", f"--window-size={width},{height}",
                "--no-first-run", "--disable-background-networking", "--disable-component-update", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            address = await asyncio.to_thread(self._address)
            self._session = aiohttp.ClientSession()
            async with self._session.get(re.sub(r"^ws(://[^/]+)/.*", r"http\1/json/list", address)) as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
            self._reader = asyncio.create_task(self._read())
            for domain in ("Page", "Network", "Runtime"):
                await self.call(f"{domain}.enable")
            await self.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        await self._session.close()
        await asyncio.to_thread(self._end)

    def _address(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"ws://\S+", line):
                return found.group()
        raise AssertionError("the browser ended at once")

    def _end(self) -> None:
        """The browser and all its helpers, which are one process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()

    async def _read(self) -> None:
        async for message in self._socket:
            event = message.json()
            if "id" in event:
                self._answers.pop(event["id"]).set_result(event)
            elif event["method"] == "Network.requestWillBeSent":
                self.requests.append(event["params"]["request"]["url"])
            elif event["method"] == "Network.webSocketFrameReceived":
                frame = event["params"]["response"]
                payload = frame["payloadData"]
                self.frames += base64.b64decode(payload) if frame["opcode"] == 2 else payload.encode()

    async def call(self, method: str, **parameters: Any) -> Any:
        """A command of the protocol, and its answer."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        event = await asyncio.wait_for(answer, 20)
        assert "error" not in event, event
        return event["result"]

    async def type(self, text: str) -> None:
        """As at the keyboard."""
        for letter in text:
            await self.call("Input.dispatchKeyEvent", type="keyDown", key=letter, text=letter)
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=letter)

    @property
    def text(self) -> str:
        """What the terminal in the page was sent, without what moves its cursor and colours it."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.frames.decode(errors="replace"))

    async def read_until(self, wanted: str, timeout_s: float = 20) -> None:
        """Wait until the terminal in the page was sent this."""
        for _ in range(int(timeout_s / 0.05)):
            if wanted in self.text:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{wanted!r} never came: {self.text[-2000:]}")

    async def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])
