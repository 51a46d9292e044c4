"""How Sphinx makes the site of these pages: `make docs`.

The pages are plain Markdown, so that they read as well where there is no site. What only a site has is here and in
`_site`: the theme, pages made of docstrings, and pages for the files of the repository that others link to. Nothing
of the site is fetched from another host, and it can be read from a folder: fonts are the reader's own, and references
into the standard library's documents, which would need its inventory, stay text.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pygments.lexers.data import JsonLexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_site"), str(HERE.parent / "python")]

project = "procession"
author = "the authors of procession"
copyright = author  # the name is Sphinx's
release = re.search(r'^version = "(.+)"', (HERE.parent / "Cargo.toml").read_text(), re.MULTILINE)[1]  # type: ignore[index]
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "docstrings",
    "repository_files",
    "sidebar",
    "titles",
]
exclude_patterns = ["_site"]
templates_path: list[str] = []

# Pages

myst_heading_anchors = 4  # links to sections, by the anchors that a forge makes
default_role = "py:obj"  # docstrings write `name` as Markdown does: code, and a link where there is a page
highlight_language = "none"
pygments_style = "friendly"
pygments_dark_style = "github-dark"
smartquotes = False  # what is quoted is often code

# Docstrings

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = (
    False  # values say more than names of constants; and True loses a parameter of bound methods
)
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
nitpick_ignore_regex = [(r"py:.*", r".*")]  # the standard library's names, and words in backticks that are no names

# The site

html_theme = "furo"
html_title = "procession"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_js_files = [("search.js", {"defer": "defer"})]  # behind Sphinx's search, and before it is asked
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_theme_options = {
    "sidebar_hide_name": False,
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#0b6e69", "color-brand-content": "#0b6e69"},
    "dark_css_variables": {"color-brand-primary": "#4fc3b8", "color-brand-content": "#4fc3b8"},
}
copybutton_selector = "div.highlight:not(.highlight-text *) pre"


def setup(app: Sphinx) -> None:
    """Languages of data files that Pygments does not know."""
    app.add_lexer("csv", TextLexer)
    app.add_lexer("jsonl", JsonLexer)
