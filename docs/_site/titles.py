"""A link with a file's name for its text, `[disk.md](disk.md)`, has the title of the page on the site."""

from __future__ import annotations

import re
from typing import Any

from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_FILE = re.compile(r"(?:docs/)?[\w/-]+\.md")


class UseTitles(SphinxTransform):
    """Lets MyST put the title, as it does for a link without a text."""

    default_priority = 6

    def apply(self, **kwargs: Any) -> None:
        for node in self.document.findall(addnodes.pending_xref):
            if node.get("reftype") == "myst" and _FILE.fullmatch(node.astext()):
                node["refexplicit"] = False


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(UseTitles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
