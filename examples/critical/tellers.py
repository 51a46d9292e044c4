"""Two tellers at one account, at the worst possible moment: what the examples in this folder have in common.

Whoever reads a balance, adds to it and writes the sum back has a critical section: if another one reads in between, one
of the two payments is lost. Left to chance that happens once in a million times, on the day it costs most. Here it
happens every time: `Meanwhile` stands between reading and writing and waits until the other teller has read as well,
or is seen to be waiting for the lock and cannot.
"""

import contextlib
import subprocess
import sys
import tempfile

import procession
from procession.testing import wait_until

AMOUNT = 100  # what each of the two pays in
PATIENCE_S = 30  # a program needs a tenth of a second to get to the account; arbitrary


class Meanwhile:
    """Called between reading and writing; returns when the other one has read, too, or waits for the lock."""

    def __init__(self, lock, readers):
        self.lock, self.readers = lock, readers

    def __call__(self):
        self.readers.add(1)
        wait_until(lambda: self.readers.value == 2 or self.somebody_waits(), PATIENCE_S)

    def somebody_waits(self):
        return not isinstance(self.lock, contextlib.nullcontext) and self.lock.statistics().waiters > 0


def two_children(deposit, account, lock):
    """Two processes of this program pay in. The lock is in memory, and they are given it."""
    meanwhile = Meanwhile(lock, procession.Value("i", 0))
    children = [procession.Process(target=deposit, args=(account, AMOUNT, lock, meanwhile)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.result()  # raises what the child raised


def two_programs(script, account, *, locked):
    """Two programs that have nothing in common but a path pay in. The lock has its home there, on disk."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, script, "teller", account, folder, "locked" if locked else "unlocked"]
        with subprocess.Popen(command) as one, subprocess.Popen(command) as other:
            pass  # left when both have ended
    if one.returncode or other.returncode:
        raise SystemExit("a teller failed")


def run(deposit, balance_after_two):
    """Such a program: a teller if `two_programs` started it, else the one that tells what came of it."""
    if sys.argv[1:2] != ["teller"]:
        print("without the lock:", balance_after_two(locked=False))
        print("with the lock:", balance_after_two(locked=True))
        return
    _, _, account, folder, how = sys.argv
    lock = procession.Lock(path=f"{folder}/lock") if how == "locked" else contextlib.nullcontext()
    deposit(account, AMOUNT, lock, Meanwhile(lock, procession.Value("i", 0, path=f"{folder}/readers")))
