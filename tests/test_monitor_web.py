"""`procession top --web`: who knows the secret sees the real screen in a real browser, nobody else sees anything."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual_serve")

import aiohttp
from browser import Browser, find
from commands import COMMAND, left_behind
from watching import Family, drive, family

from procession.testing import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def watched() -> Iterator[Family]:
    with family() as running:
        yield running


@contextlib.contextmanager
def serving(watched: Family, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server for a running program, and where it is."""
    command = [*COMMAND, "top", "--web", "--interval", "0.1", str(watched.pid)]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    found = None
    said = ""
    while found is None:
        line = server.stdout.readline()
        assert line, said
        said += line
        found = re.search(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", line)
    yield server, found.group()
    rest, _ = server.communicate(timeout=20)
    assert "Traceback" not in rest
    wait_until(lambda: left_behind(tmp_path) == [], timeout=20)  # the screens that it started for pages end as well


@pytest.fixture
def address(watched: Family, tmp_path: Path) -> Iterator[str]:
    """Where the screen of a running program is served."""
    with serving(watched, tmp_path) as (server, found):
        yield found
        server.send_signal(signal.SIGTERM)
    assert server.returncode == 0


async def status(address: str, **options: Any) -> int:
    async with aiohttp.ClientSession() as session, session.get(address, **options) as answer:
        await answer.read()
        return answer.status


def test_nothing_is_served_without_the_secret(address: str) -> None:
    async def test() -> None:
        root, secret = re.fullmatch(r"(http://[^/]+/)([\w-]+)/", address).groups()  # type: ignore[union-attr]
        assert await status(address) == 200
        assert await status(f"{address}static/js/textual.js") == 200
        assert await status(root + secret) == 200  # the last stroke may be missing
        wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
        for path in (
            "",
            "ws",
            "static/js/textual.js",
            f"{wrong}/",
            f"{wrong}/ws",
            f"{secret}x/",
            f"x/{secret}/",
            f"//{secret}/",
        ):
            assert await status(root + path) == 403, path
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{root}ws")
            assert refused.value.status == 403
            async with session.get(address) as answer:
                assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert "://" not in re.sub(r"ws://127\.0\.0\.1:\d+/", "", await answer.text())

    drive(test)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_its_screens_end_with_it(number: int, watched: Family, tmp_path: Path) -> None:
    async def open_one(server: subprocess.Popen[str], address: str) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}ws") as socket:
            await socket.receive(timeout=20)  # the screen is there
            server.send_signal(number)
            while not (await socket.receive(timeout=20)).type.name.startswith("CLOS"):
                pass

    with serving(watched, tmp_path) as (server, address):
        drive(lambda: open_one(server, address))


def test_two_at_a_port_are_one_too_many(address: str, tmp_path: Path) -> None:
    port = re.search(r":(\d+)/", address).group(1)  # type: ignore[union-attr]
    second = subprocess.run(
        [*COMMAND, "top", "--web", "--port", port], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 1
    assert f"port {port} of 127.0.0.1 cannot be had" in second.stderr.replace("\n", " ").replace("  ", " ")


def test_the_screen_in_a_browser(address: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    if find() is None:
        pytest.skip("needs a browser: chromium or google-chrome")

    async def test() -> None:
        async with Browser(tmp_path_factory.mktemp("browser")) as browser:
            empty = len(await browser.picture())
            await browser.call("Page.navigate", url=address)
            await browser.read_until("guard")
            await browser.read_until("hold_on, task")
            await browser.type("3")
            await browser.read_until("vault")
            await browser.type("?")
            await browser.read_until("where in its Python code")
            assert len(await browser.picture()) > 3 * empty  # something is drawn
            assert browser.requests
            assert all(each.startswith((address, "data:")) for each in browser.requests), browser.requests
            await browser.call("Runtime.evaluate", expression="0")
            await browser.type("q")  # closes the help
            await browser.type("q")  # leaves: the page says so
            for _ in range(400):
                shown = await browser.call("Runtime.evaluate", expression="document.body.className")
                if "-closed" in shown["result"].get("value", ""):
                    break
                await asyncio.sleep(0.05)
            else:
                raise AssertionError("the page never said that the view was left")

    drive(test)
