"""Tests that go wrong in every way the runner must survive; run by the tests of the runner only."""

import os
import signal
import subprocess
import sys
import time
import unittest

_LONG = [sys.executable, "-c", "import time; time.sleep(600)"]


class Hanging(unittest.TestCase):
    def test_1_before(self) -> None:
        pass

    def test_2_hangs(self) -> None:
        with subprocess.Popen(_LONG, start_new_session=True):  # its own session: only the mark finds it
            time.sleep(600)

    def test_3_after(self) -> None:
        pass


class Dying(unittest.TestCase):
    def test_1_dies(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def test_2_after(self) -> None:
        pass


class Leaving(unittest.TestCase):
    def test_leaves_a_process(self) -> None:
        subprocess.Popen(_LONG, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Altering(unittest.TestCase):
    def test_alters(self) -> None:
        from test import support

        support.environment_altered = True


class Failing(unittest.TestCase):
    def test_fails(self) -> None:
        self.fail("on purpose")

    def test_fails_in_part(self) -> None:
        for number in range(3):
            with self.subTest(number=number):
                assert number != 1

    def test_is_skipped(self) -> None:
        self.skipTest("not today")

    @unittest.expectedFailure
    def test_succeeds_unexpectedly(self) -> None:
        pass


class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        raise RuntimeError("no class today")

    def test_never_runs(self) -> None:
        pass
