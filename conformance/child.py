"""The process in which one class of tests runs, and which tells its parent, line by line in a file, how it goes.

    python -m conformance.child list SUITE METHOD
    python -m conformance.child run SUITE METHOD AGAINST EVENTS NAME...

Spawned children of the tests import this module as their main module: that is why the signal that dumps their stacks is
set up when it is imported.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TextIO

from . import standing, suites

DUMP_SIGNAL = signal.SIGRTMIN + 3  # none of the tests uses it

Failure = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

faulthandler.register(DUMP_SIGNAL, all_threads=True)


class Reporter(unittest.TestResult):
    """Writes an event when a test starts and when it ends: `[what, name, detail, seconds]`, a line of JSON each."""

    def __init__(self, file: TextIO) -> None:
        super().__init__()
        self.file = file
        self.pid = os.getpid()
        self.started = 0.0

    def tell(self, what: str, name: str, detail: str = "", seconds: float = 0.0) -> None:
        if os.getpid() == self.pid:  # a forked child that came this way is not the one to speak
            self.file.write(json.dumps([what, name, detail[-6000:], seconds]) + "\n")
            self.file.flush()

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.started = time.monotonic()
        self.outcome, self.detail = "ok", ""
        self.tell("start", suites.name_of(test))

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self.tell(self.outcome, suites.name_of(test), self.detail, time.monotonic() - self.started)

    def _not_ok(self, test: Any, outcome: str, detail: str) -> None:
        """Failures of class and module fixtures come with something that is no test."""
        if isinstance(test, unittest.TestCase):
            if self.outcome != "failed":
                self.outcome, self.detail = outcome, detail
        else:
            self.tell(outcome, str(test), detail)

    def addFailure(self, test: Any, err: Failure) -> None:
        self._not_ok(test, "failed", "".join(traceback.format_exception(*err)))

    addError = addFailure

    def addSubTest(self, test: Any, subtest: Any, err: Failure | None) -> None:
        if err is not None:
            self._not_ok(test, "failed", f"{subtest}\n" + "".join(traceback.format_exception(*err)))

    def addSkip(self, test: Any, reason: str) -> None:
        self._not_ok(test, "skipped", reason)

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._not_ok(test, "failed", "unexpected success")


def prepare(against: str, executor: bool) -> None:
    """What `python -m test` sets up around tests, and procession in the place of multiprocessing."""
    from test import support

    faulthandler.enable(all_threads=True)
    try:
        from test.libregrtest import utils

        utils.setup_unraisable_hook()  # these two note what happens where no test sees it
        utils.setup_threading_excepthook()
    except (ImportError, AttributeError):
        pass  # internal, and not the same in every version
    support.record_original_stdout(sys.stdout)
    standing.install(against, executor)
    if against == "procession":
        import procession

        if directory := os.environ.get("CONFORMANCE_CHECK"):
            from procession.check.beginning import begin

            begin(tempfile.mkdtemp(dir=directory))  # each class into one of its own; see scripts/check_conformance.py
        procession.install()
    if executor:
        use_our_executor()


def use_our_executor() -> None:
    """`procession.Executor` in the place and under the name of the standard library's; programs are built with that."""
    import concurrent.futures
    import concurrent.futures.process

    import procession

    ours = type("ProcessPoolExecutor", (procession.Executor,), {})
    concurrent.futures.ProcessPoolExecutor = ours  # type: ignore[misc]
    concurrent.futures.process.ProcessPoolExecutor = ours  # type: ignore[misc]


def altered() -> bool:
    """Whether a test left something behind, in the opinion of `test.support`; and forget it."""
    from test import support

    found, support.environment_altered = bool(support.environment_altered), False
    return found


def run(suite: str, method: str, against: str, events: str, names: Iterable[str]) -> None:
    prepare(against, executor=suite == "executor" and against == "procession")
    wanted = set(names)
    chosen = [test for test in suites.tests(suite, method) if suites.name_of(test) in wanted]
    with open(events, "a") as file, tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        altered()
        reporter = Reporter(file)
        unittest.TestSuite(chosen).run(reporter)
        if altered():
            reporter.tell("altered", suites.class_of(chosen[0]), "see its output")
        os.chdir("/")
        reporter.tell("done", "")


def show(suite: str, method: str) -> None:
    """Print the names of a suite's tests, one a line."""
    for test in suites.tests(suite, method):
        print(suites.name_of(test))


def main() -> None:
    what, suite, method, *rest = sys.argv[1:]
    try:
        if what == "list":
            show(suite, method)
        else:
            run(suite, method, rest[0], rest[1], rest[2:])
    except suites.NoTests as error:
        sys.exit(f"no tests: {error}")


if __name__ == "__main__":
    main()
