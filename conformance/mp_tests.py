"""CPython's `_test_multiprocessing`, for the start method that an environment variable names.

A module of its own, and found by that variable, because spawned children import it to find what they shall run.
"""

import os

import test._test_multiprocessing as _test_multiprocessing  # with `from test import` a missing one has no name

from .suites import METHOD_VARIABLE

# Kept ready in the fork server: their list names a module that not every interpreter has.
_test_multiprocessing.PRELOAD = ["__main__", __name__]
_test_multiprocessing.install_tests_in_module_dict(globals(), os.environ[METHOD_VARIABLE])
