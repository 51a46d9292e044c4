"""Links from a page to a file of the repository outside docs/: on the site the file has a page of its own.

`[memory.py](../../examples/critical/memory.py)` works wherever the pages lie beside the sources. A site has no sources,
and a link to a forge would need one, and the network. So each file that is linked to becomes `files/<path>.html`: with
colours, Markdown as a page; a folder is the list of its files. What those pages link to has a page as well.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
AS_SPHINX = {  # the classes that the theme knows
    "<table>": '<div class="table-wrapper docutils container"><table class="docutils align-default">',
    "</table>": "</table></div>",
    "<code>": '<code class="docutils literal notranslate">',
}
PICTURES = {".svg", ".png"}
LARGEST_BYTES = 200_000  # of a file, the rest is cut off: arbitrary


def page_of(path: Path) -> str:
    """The name of the site's page for a file, as `get_relative_uri` takes it."""
    if path.is_relative_to(DOCS) and path.suffix == ".md":
        return path.relative_to(DOCS).with_suffix("").as_posix()
    if path.is_dir():
        path /= "index"
    return f"files/{path.relative_to(ROOT).as_posix()}"


class LinkFiles(SphinxTransform):
    """Puts the page's address in the place of a link that MyST could not resolve, or took for a download."""

    default_priority = 5  # before references are resolved

    def apply(self, **kwargs: Any) -> None:
        for node in list(self.document.findall()):
            if isinstance(node, addnodes.pending_xref | addnodes.download_reference) and node.get("reftype") == "myst":
                target, _, anchor = node["reftarget"].partition("#")
                suffix = ".md" if node.get("refdomain") == "doc" else ""
                path = Path(os.path.normpath(Path(self.env.doc2path(self.env.docname)).parent / (target + suffix)))
                if path.exists() and path.is_relative_to(ROOT) and not path.is_relative_to(DOCS):
                    self._link(node, path, anchor or node.get("reftargetid"))

    def _link(self, node: nodes.Element, path: Path, anchor: str | None) -> None:
        files = self.env.__dict__.setdefault("repository_files", {})
        files.setdefault(self.env.docname, set()).add(path)
        address = self.app.builder.get_relative_uri(self.env.docname, page_of(path))
        reference = nodes.reference(refuri=f"{address}#{anchor}" if anchor else address, internal=True)
        reference += node.children
        node.replace_self(reference)


class Pages:
    """The pages of all files that are linked to, from the site's pages or from each other."""

    def __init__(self, app: Sphinx) -> None:
        self.app = app
        self.waiting = sorted(set().union(*getattr(app.env, "repository_files", {}).values()))
        self.made = set(self.waiting)

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any], str]]:
        while self.waiting:
            path = self.waiting.pop()
            if not path.is_relative_to(DOCS):
                title = str(path.relative_to(ROOT))
                yield page_of(path), {"title": title, "body": self._body(path, title)}, "page.html"

    def _body(self, path: Path, title: str) -> str:
        if path.is_dir():
            return f"<h1>{title}/</h1>{self._listing(path)}"
        text = path.read_text(errors="replace")[:LARGEST_BYTES]
        if path.suffix == ".md":
            return self._markdown(path, text)
        return f"<h1>{title}</h1>{self._highlight(text, _language(path))}"

    def _listing(self, folder: Path) -> str:
        names = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "_")))
        items = (f'<li><a href="{self._address(folder, entry)}">{html.escape(entry.name)}</a></li>' for entry in names)
        return f"<ul>{''.join(items)}</ul>"

    def _highlight(self, text: str, language: str) -> str:
        block = self.app.builder.highlighter.highlight_block(text, language)  # type: ignore[attr-defined]
        return f'<div class="highlight-{language} notranslate">{block}</div>'

    def _markdown(self, path: Path, text: str) -> str:
        markdown = MarkdownIt("commonmark", {"highlight": lambda code, name, _: self._highlight(code, name or "none")})
        markdown.enable("table").use(anchors_plugin, max_level=4)
        tokens = markdown.parse(text)
        for token in tokens:
            for inner in token.children or ():
                for leads in {"href", "src"} & inner.attrs.keys():
                    inner.attrs[leads] = self._lead(path, str(inner.attrs[leads]))
        made = str(markdown.renderer.render(tokens, markdown.options, {}))
        for plain, styled in AS_SPHINX.items():
            made = made.replace(plain, styled)
        return made

    def _lead(self, path: Path, target: str) -> str:
        """From the page of a Markdown file to where one of its links leads."""
        if "://" in target or target.startswith("#"):
            return target
        name, hashed, anchor = target.partition("#")
        led = Path(os.path.normpath(path.parent / name))
        if led.suffix in PICTURES and led.is_relative_to(DOCS):
            builder: Any = self.app.builder  # it copies what stands in `images` after these pages are made
            image = builder.images.setdefault(str(led.relative_to(DOCS)), led.name)
            return os.path.relpath(f"_images/{image}", os.path.dirname(page_of(path)))
        return self._address(path, led) + hashed + anchor

    def _address(self, source: Path, target: Path) -> str:
        if target not in self.made:
            self.made.add(target)
            self.waiting.append(target)
        return self.app.builder.get_relative_uri(page_of(source), page_of(target))


def _language(path: Path) -> str:
    try:
        return get_lexer_for_filename(path.name).aliases[0]
    except (ClassNotFound, IndexError):
        return "none"


def _purge(app: Sphinx, env: Any, docname: str) -> None:
    getattr(env, "repository_files", {}).pop(docname, None)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(LinkFiles)
    app.connect("html-collect-pages", Pages)
    app.connect("env-purge-doc", _purge)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
