"""Every link of a built site leads to something that is there: pages, files, sections. Other hosts are not asked.

    python scripts/check_links.py build/docs

Prints what leads nowhere, a line each, and ends with 1 if anything does. What makes a reader's browser ask another host
(a script, a font, a picture of elsewhere) is an error too: the site is to be read from a folder, without a network.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

LEADS = {"a": "href", "img": "src", "script": "src", "link": "href", "source": "src", "object": "data", "iframe": "src"}


class Page(HTMLParser):
    """What a page links to, and the names of its places."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []  # the element, and where it leads
        self.names: set[str] = {"", "top"}
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names.update(filter(None, (given.get("id"), given.get("name") if tag == "a" else None)))
        if target := given.get(LEADS.get(tag, "")):
            self.links.append((tag, target))


def broken(site: Path) -> list[str]:
    """What leads nowhere: a sentence each."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for tag, target in page.links:
            if problem := _problem(path, tag, target, pages):
                found.append(f"{path.relative_to(site.resolve())}: <{tag}> leads to {target}: {problem}")
    return found


def _problem(source: Path, tag: str, target: str, pages: dict[Path, Page]) -> str:
    parts = urlsplit(target)
    if parts.scheme in ("data", "mailto"):
        return ""
    if parts.scheme or parts.netloc:
        return "" if tag == "a" else "another host"
    address, anchor = urldefrag(target)
    path = (source.parent / unquote(urlsplit(address).path)).resolve() if address else source
    if not path.is_file():
        return "no such file"
    if path in pages and unquote(anchor) not in pages[path].names:
        return "no such section"
    return ""


def main() -> int:
    """Check the site named on the command line."""
    site = Path(sys.argv[1])
    found = broken(site)
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(list(site.rglob('*.html')))} pages, {len(found)} links that lead nowhere")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main())
