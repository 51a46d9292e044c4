"""A file that is read, changed and written anew: two programs pay into one account.

    python examples/critical/rewrite.py

prints what the file says after two payments of 100, without a lock and with one. The programs do not know each other:
they agree on nothing but the path of the lock, and may have been started by different people on different days.

The new contents are put in the place of the old in one step, so that no reader and no power cut sees half of them.
That is worth doing, and no substitute for the lock: without it, the whole file is the loser's.
"""

import os
import tempfile
from pathlib import Path

from tellers import run, two_programs


def deposit(account, amount, lock, meanwhile):
    with lock:
        balance = int(Path(account).read_text())  # read ...
        meanwhile()
        draft = f"{account}.{os.getpid()}"
        Path(draft).write_text(str(balance + amount))
        os.replace(draft, account)  # ... and written anew


def balance_after_two(*, locked):
    with tempfile.TemporaryDirectory() as folder:
        account = Path(folder, "account")
        account.write_text("0")
        two_programs(__file__, str(account), locked=locked)
        return int(account.read_text())


if __name__ == "__main__":
    run(deposit, balance_after_two)
