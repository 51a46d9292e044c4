"""Which tests belong to a suite and a start method."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path

SUITES = ("mp", "main", "futures", "executor")
METHODS = ("fork", "spawn", "forkserver")
WHOLE = str(Path(__file__).with_name("whole"))  # where `test` is found whole; see there
METHOD_VARIABLE = "PROCESSION_CONFORMANCE_METHOD"  # tells `mp_tests`, in children as well, for which method it is

_MODULES = {
    "mp": "conformance.mp_tests",
    "main": "test.test_multiprocessing_main_handling",
    "futures": "test.test_concurrent_futures",
    "executor": "test.test_concurrent_futures",
    "self": "conformance.self_tests",  # not one of SUITES: what the runner's own tests run
}
_ALL = ("mp", "self")  # every class is for the start method in use
_CLASSES = {  # how the classes of a start method are called where one module has those of all
    "fork": ("ForkCmdLine", "ProcessPoolFork"),
    "spawn": ("SpawnCmdLine", "ProcessPoolSpawn"),
    "forkserver": ("ForkServerCmdLine", "ProcessPoolForkserver"),
}


class NoTests(Exception):
    """The interpreter has no tests of this kind."""


def tests(suite: str, method: str) -> Iterator[unittest.TestCase]:
    """The tests of a suite for a start method, in the order of their classes.

    Raises: NoTests if this interpreter does not have them; whatever importing them raises.
    """
    os.environ[METHOD_VARIABLE] = method
    try:
        module = importlib.import_module(_MODULES[suite])
    except ModuleNotFoundError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise NoTests(
            f"{sys.executable} has no {error.name}: install Debian's libpython{version}-testsuite, or use an "
            "interpreter whose `test` package is whole"
        ) from None
    modules = [module]
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if found.name.startswith("test_"):
            modules.append(importlib.import_module(f"{module.__name__}.{found.name}"))
    for each in modules:
        for test in _flat(unittest.defaultTestLoader.loadTestsFromModule(each, pattern="")):
            if type(test).__module__ == each.__name__ and (
                suite in ("mp", "self") or _is_for(type(test).__name__, method)
            ):
                yield test


def _flat(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from _flat(entry)
        else:
            yield entry


def _is_for(name: str, method: str) -> bool:
    """Whether a class of tests is for this method: 'ProcessPoolForkserver...' is not for fork."""
    return name.startswith(_CLASSES[method]) and not (method == "fork" and name.startswith(_CLASSES["forkserver"]))


def class_of(test: unittest.TestCase) -> str:
    return type(test).__name__


def name_of(test: unittest.TestCase) -> str:
    """'WithProcessesTestQueue.test_put'."""
    return f"{class_of(test)}.{test._testMethodName}"
