"""Docstrings are written to be read in a terminal; on the site they get what a terminal has not.

* Pages are named as files, `docs/guides/disk.md`: here these are links, and so are the names of procession's errors.
* An indented example after a blank line is code.
* The names of the package are methods of a context: Sphinx would take their first parameter for `self`. Parameters that
  only unpickling uses (`arena`, `address`, `memory`) are left out.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import signature, stringify_signature

from procession import errors

_PAGE = re.compile(r"`{0,2}\bdocs/([\w/-]+)\.md\b`{0,2}")
_NAMES = [name for name in errors.__all__ if re.match(r"([A-Z][a-z]+){2,}", name) and name != "TimeoutError"]
_ERROR = re.compile(rf"(?<![`\w.:~])`?({'|'.join(_NAMES)})\b`?(?![`\w(])")
_INTERNAL = {"arena", "address", "memory"}


def enrich(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """In place, as Sphinx wants it."""
    made: list[str] = []
    is_code = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not is_code and (not made or not made[-1]):
            made += [".. code-block:: python", ""]
            is_code = True
        elif is_code and line and not indented:
            is_code = False
        made.append(line if is_code else _ERROR.sub(r":exc:`~procession.errors.\1`", _PAGE.sub(r":doc:`/\1`", line)))
    lines[:] = made


def resign(app: Sphinx, what: str, name: str, obj: Any, options: Any, given: str, returned: str) -> Any:
    """The signature that is shown; None for Sphinx's own. An error takes a message and any of its fields: not shown."""
    if what == "exception":
        return ("", None) if given else None
    try:
        found = signature(obj, bound_method=inspect.ismethod(obj))
    except (TypeError, ValueError):
        return None
    is_shared = _INTERNAL & found.parameters.keys() >= {"arena", "address"}  # elsewhere an address is another's
    is_block = getattr(getattr(obj, "__code__", None), "co_filename", None) == contextlib.__file__
    if not (inspect.ismethod(obj) or is_shared or is_block):
        return None
    found = found.replace(parameters=[each for each in found.parameters.values() if each.name not in _INTERNAL])
    if what == "class" or is_block:  # a function for `with` gives no iterator
        found = found.replace(return_annotation=found.empty)
    whole = stringify_signature(found, unqualified_typehints=True)
    arguments, arrow, value = whole.rpartition(" -> ")
    return (arguments, value) if arrow else (whole, None)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", enrich)
    app.connect("autodoc-process-signature", resign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
