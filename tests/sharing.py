"""A run of the suite that several pytest processes share: each takes the next part that nobody has taken.

A part is a module's tests, those that use a cluster apart. `scripts/suite.py` starts the processes, side by side: a
test that looks for what it left behind sees its own process's children only. (pytest-xdist was considered. Its workers
have a second thread, of which Python 3.12 warns at every fork, and a warning is an error here; and it does not keep the
order, in which the clusters come last.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, groupby, pairwise
from pathlib import Path

import homes
import pytest


class Sharing:
    """The plugin of a process that takes its part of a run, as given in a folder that they share."""

    def __init__(self, claims: Path) -> None:
        self._claims = claims

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """As pytest's own, for the tests that fall to this process."""
        if session.testsfailed or session.config.option.collectonly:
            return None
        # A test is told which comes next before it runs, for what they have in common: so a part is taken a test early.
        for item, following in pairwise(chain(self._mine(session.items), [None])):
            assert item is not None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        return True

    def _mine(self, items: list[pytest.Item]) -> Iterator[pytest.Item]:
        for number, (_, part) in enumerate(groupby(items, key=lambda item: (item.path, homes.is_late(item)))):
            if self._claim(number):
                yield from part

    def _claim(self, number: int) -> bool:
        try:
            os.close(os.open(self._claims / str(number), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True
