"""Docstrings name pages as files, `docs/guides/disk.md`, for readers in a terminal; on the site these are links."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_PAGE = re.compile(r"`{0,2}\bdocs/([\w/-]+)\.md\b`{0,2}")


def link_pages(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """In place, as Sphinx wants it."""
    lines[:] = [_PAGE.sub(r":doc:`/\1`", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", link_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
