"""The end of a file: two processes append to one journal, and an entry takes two writes.

    python examples/critical/append.py

prints what the journal adds up to after two payments of 100, without a lock and with one.

The kernel lets no write to a file in append mode fall into another one, so nothing is overwritten. But an entry that
takes several writes, as every long one does, can be torn by those of another process.
"""

import tempfile
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

from tellers import two_children

import procession


def deposit(journal, amount, lock, meanwhile):
    with lock, open(journal, "ab", buffering=0) as file:
        file.write(b"deposit\n")  # the head of an entry ...
        meanwhile()
        file.write(b"%d\n" % amount)  # ... and its body


def balance(journal):
    """The sum of all whole entries: heads with a body right behind."""
    lines = Path(journal).read_text().splitlines()
    return sum(int(body) for head, body in pairwise(lines) if head == "deposit" != body)


def balance_after_two(lock):
    with tempfile.TemporaryDirectory() as folder:
        journal = f"{folder}/journal"
        two_children(deposit, journal, lock)
        return balance(journal)


if __name__ == "__main__":
    print("without the lock:", balance_after_two(nullcontext()))
    print("with the lock:", balance_after_two(procession.Lock()))
