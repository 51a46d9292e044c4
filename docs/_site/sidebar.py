"""The sidebar has the words and the order of an index page's own links: its toctree says `*` for all of them.

An index page is a list, or a table, of links with short texts, grouped by sense; so it reads well without a site.
Sphinx would want the same list again in the toctree, or, given a pattern, sort pages by file name with whole titles.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

_LINK = re.compile(r"^(?:[-*]|\|) \[(.+?)\]\(([\w/-]+)\.md\)", re.MULTILINE)
_ALL = re.compile(r"^(```\{toctree\}\n(?:(?!```).*\n)*?)\*\n", re.MULTILINE)


def list_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """In place, as Sphinx wants it. Pages of the folder that the index does not link to follow behind."""
    pages = {page: text.replace("`", "") for text, page in _LINK.findall(source[0])}
    if pages:
        folder = Path(app.env.doc2path(docname)).parent
        others = sorted(path.stem for path in folder.glob("*.md") if path.stem not in {*pages, "index"})
        entries = [*(f"{text} <{page}>\n" for page, text in pages.items()), *(f"{page}\n" for page in others)]
        source[0] = _ALL.sub(lambda found: found[1] + "".join(entries), source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", list_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
