"""The documents as a site: built without a warning, every link leads somewhere, nothing is asked of another host."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from commands import load_script

ROOT = Path(__file__).parent.parent
check_links = load_script("check_links")

pytest.importorskip("sphinx", reason="needs sphinx")
pytest.importorskip("furo", reason="needs furo")
pytest.importorskip("myst_parser", reason="needs myst-parser")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, as `make docs` does."""
    built = tmp_path_factory.mktemp("site")
    options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "--doctree-dir", built.parent / "doctrees"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ROOT / "docs", built],
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return built


@pytest.mark.slow
@pytest.mark.watchdog(450)
def test_every_link_leads_somewhere(site: Path) -> None:
    assert check_links.broken(site) == []


@pytest.mark.slow
def test_every_page_can_be_reached_from_the_sidebar(site: Path) -> None:
    links = {target for _, target in check_links.Page(site / "index.html").links}
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs").with_suffix(".html")) in links | {"index.html"}


@pytest.mark.slow
def test_links_of_a_folder_are_those_of_a_site(site: Path) -> None:
    """A file of the repository is a page; a page that is called by its file is called by its title."""
    page = site / "guides" / "critical.html"
    assert ("a", "../files/examples/critical/memory.py.html") in check_links.Page(page).links
    assert "def deposit" in re.sub(r"<[^>]+>", "", (site / "files/examples/critical/memory.py.html").read_text())
    assert "disk.md" not in page.read_text()
    assert ">Objects on disk<" in page.read_text()


PASTED = {  # as a terminal shows it, with names of the reader's own program, and the page that should come first
    "AttributeError: Can't pickle local object 'train.<locals>.load'": "Can't pickle local object",
    "AttributeError: Can't get local object 'train.<locals>.load'": "Can't pickle local object",
    "concurrent.futures.process.BrokenProcessPool: A process in the process pool was terminated abruptly while the "
    "future was running or pending.": "BrokenProcessPool",
    "TypeError: FetchFailed.__init__() missing 1 required positional argument: 'shard'": "missing 1 required",
    "DeprecationWarning: This process (pid=4711) is multi-threaded, use of fork() may lead to deadlocks in the child.":
    "This process is multi-threaded",
    "deadlock": "Deadlocks",
}  # fmt: skip


@pytest.mark.slow
def test_nothing_is_asked_of_another_host_and_search_works_from_a_folder(site: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    import browser

    if browser.find() is None:
        pytest.skip("needs a Chromium")

    async def first_found(page: browser.Browser, words: str) -> str:
        await page.call("Page.navigate", url=f"{site.as_uri()}/search.html?{urlencode({'q': words})}")
        for _ in range(100):
            shown = await page.call(
                "Runtime.evaluate", expression="document.querySelector('#search-results li')?.innerText ?? ''"
            )
            if found := shown["result"]["value"]:
                break
            await asyncio.sleep(0.05)
        return str(found)

    async def look() -> tuple[dict[str, str], list[str]]:
        async with browser.Browser(tmp_path) as page:
            return {words: await first_found(page, words) for words in PASTED}, page.requests

    found, requests = asyncio.run(look())
    assert {words: title for words, title in PASTED.items() if title not in found[words]} == {}
    assert {address.partition(":")[0] for address in requests} <= {"file", "data"}


def test_a_broken_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there">1</a> <a href="b.html#gone">2</a> <a href="c.html">3</a> <a href="#">4</a>'
        '<a href="https://example.invalid/">5</a> <img src="https://example.invalid/x.png">'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    assert check_links.broken(tmp_path) == [
        "a.html: <a> leads to b.html#gone: no such section",
        "a.html: <a> leads to c.html: no such file",
        "a.html: <img> leads to https://example.invalid/x.png: another host",
    ]
