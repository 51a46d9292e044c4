"""A plugin for pytest: `pytest --procession-check` runs every test in check mode, and fails those with findings.

The tests' `multiprocessing` is this package's then. Each test is recorded into a directory of its own, which is
analysed when the test has ended: so what it starts has to have ended too, as it should at the end of a test. A test
that fails by itself stays as it is, with the findings as a section of its report.

    @pytest.mark.procession_check(ignore=["copies"])    leaves out a kind of finding; `only=[...]` all others
    @pytest.mark.procession_check(off=True)             this test is not checked

Without the option nothing of this is loaded or wrapped; pytest itself loads this module, which loads nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

__all__ = ["pytest_addoption", "pytest_configure"]

_MARKER = "procession_check(ignore=(), only=(), off=False): with --procession-check, what to leave out for this test"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("procession")
    group.addoption(
        "--procession-check",
        action="store_true",
        help="run tests as `procession check` does: fail those with races, lost writes, deadlocks, ...",
    )
    group.addoption(
        "--procession-method",
        choices=["fork", "spawn", "forkserver", "thread"],
        help="with --procession-check: how processes are started, unless a test chooses itself",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin, if asked to."""
    config.addinivalue_line("markers", _MARKER)
    if config.getoption("procession_check"):
        config.pluginmanager.register(_Checker(config.getoption("procession_method")), "procession-checker")


class _Checker:
    """Checks the tests of this session."""

    def __init__(self, method: str | None) -> None:
        from procession.check.beginning import begin
        from procession.installing import install

        self._base = tempfile.mkdtemp(prefix="procession-tests-")
        self._number = 0
        begin(self._base)
        install(method)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None, Any, Any]:
        """A test begins, with its fixtures."""
        from procession.check.beginning import begin

        self._number += 1
        directory = os.path.join(self._base, str(self._number))
        os.mkdir(directory)
        begin(directory)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """The test itself; its fixtures are still there when it is analysed."""
        failure: BaseException | None = None
        try:
            result = yield
        except BaseException as error:
            failure = error
        marker = item.get_closest_marker("procession_check")
        text = self._findings({} if marker is None else marker.kwargs)
        if failure is not None:
            if text:
                item.add_report_section("call", "procession check", text)
            raise failure
        if text:
            pytest.fail(text, pytrace=False)
        return result

    def _findings(self, wishes: Mapping[str, Any]) -> str:
        """What was found, as text; "" for nothing."""
        from procession.check.analyses import analyse
        from procession.check.beginning import begin
        from procession.check.report import render, summary
        from procession.check.watching import tell_end

        tell_end()
        begin(self._base)
        directory = os.path.join(self._base, str(self._number))
        try:
            result = analyse(directory, wishes.get("only", ()), wishes.get("ignore", ()))
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        if wishes.get("off") or not (result.findings or result.failures):
            return ""
        return "\n".join([render(result.findings), *result.failures, f"procession check: {summary(result)}"])

    def pytest_unconfigure(self) -> None:
        """The end of the session."""
        shutil.rmtree(self._base, ignore_errors=True)
