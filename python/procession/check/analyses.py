"""The analyses of a recorded run: modules with `find(directory) -> list[Finding]`, one after the other.

One that fails takes nothing from the others: what went wrong is told beside the findings.
"""

from __future__ import annotations

import contextlib
import traceback
from functools import partial
from importlib import import_module
from importlib.util import find_spec

from .._recording import Recording
from ..errors import NotARecording
from .finding import Finding, merged, noted
from .journal import events
from .suppression import is_suppressed

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    Analysis = Callable[[str], list[Finding]]

__all__ = ["ANALYSES", "Result", "analyse"]

# The last two parts of the name are looked up where they lie; what is not installed finds nothing
ANALYSES = ["races", "deadlocks", "lostwrites", "hygiene", "copies"]


class Result:
    """What there is to tell of a run."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.suppressed = 0
        """Findings that a comment in the program, or an option, left out."""
        self.failures: list[str] = []
        """Of analyses that could not be carried out, a traceback each."""
        self.missing: list[str] = []
        """What is not known of the run, a sentence each."""


def analyse(directory: str, only: Collection[str] = (), ignored: Collection[str] = ()) -> Result:
    """Everything found in the run that left this directory: of these kinds `only` (empty: of all), none `ignored`."""
    result = Result()
    found = _attempt("what was noted during the run", noted, directory, result)
    for name in ANALYSES:
        qualified = f"{__package__}.{name}"
        if find_spec(qualified) is not None:
            found += _attempt(f"the analysis '{name}'", partial(_find, qualified), directory, result)
    _look_through_journals(directory, result)
    with contextlib.suppress(NotARecording):
        result.missing += filter(None, [Recording(directory).shortfall()])
    for finding in merged(found):
        if (only and finding.kind not in only) or finding.kind in ignored or is_suppressed(finding):
            result.suppressed += 1
        else:
            result.findings.append(finding)
    return result


def _look_through_journals(directory: str, result: Result) -> None:
    """Processes that could not be watched, and those that ended without a word."""
    started, ended = {}, set()
    for event in events(directory):
        if event["event"] == "failed":
            result.failures.append(f"{event['who']} could not be watched:\n{event['text']}")
        elif event["event"] == "started" and not event["daemon"] and event["method"] != "thread":
            started[event["child"]] = event["name"]
        elif event["event"] == "ended":
            ended.add(event["pid"])
    for pid, name in started.items():
        if pid not in ended:
            result.missing.append(
                f"{name}, pid {pid}, was ended by a signal or os._exit: what it wrote last is not known"
            )


def _find(name: str, directory: str) -> list[Finding]:
    return list(import_module(name).find(directory))


def _attempt(what: str, find: Analysis, directory: str, result: Result) -> list[Finding]:
    try:
        return find(directory)
    except Exception:
        result.failures.append(f"{what} failed:\n{traceback.format_exc()}")
        return []
