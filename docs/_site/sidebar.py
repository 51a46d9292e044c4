"""The sidebar has the words and the order of an index page's own links: its toctree says `*` for all of them.

An index page is a list, or a table, of links with short texts, grouped by sense; so it reads well without a site. Sphinx
would want the same list again in the toctree, or, given a pattern, sort the pages by file name and show whole titles.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

_LINK = re.compile(r"^(?:[-*]|\|) \[(.+?)\]\(([\w/-]+)\.md\)", re.MULTILINE)
_ALL = re.compile(r"^(```\{toctree\}\n(?:(?!```).*\n)*?)\*\n", re.MULTILINE)


def list_links(app: Sphinx, docname: str, source: list[str]) -> None:
    """In place, as Sphinx wants it. Pages that the index does not link to follow behind, as by the pattern alone."""
    entries = "".join(f"{text.replace('`', '')} <{page}>\n" for text, page in _LINK.findall(source[0]))
    source[0] = _ALL.sub(lambda found: f"{found[1]}{entries}*\n", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", list_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
