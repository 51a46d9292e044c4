"""A bank whose books are right, whoever is killed when.

    python examples/bank.py
    python examples/bank.py --transfers 100000 --workers 4

It shows: a lock for each account, taken in the order of their numbers, so that no two tellers wait for each other; what
to do when somebody died holding one (`on_abandoned="raise"`, `lock.repair()`); work that is done once though it is
tried twice. One teller is killed in the middle of a transfer, when the money has left one account and is in no other.

The books are what counts: a transfer has happened when its `done` is 1, which is one store; a balance is their
sum, kept up to date. Who gets a dead teller's lock adds it up again; who gets his transfer looks into the books.
"""

import argparse
import contextlib
import os
import random
import signal
from collections.abc import Iterator
from typing import Any

import procession

ACCOUNTS, OPENING = 6, 10_000
ROBBERY = 100  # the transfer at which a teller is killed


class Bank:
    """Accounts in shared memory. It is sent to the tellers as it is: what is shared in it stays shared."""

    def __init__(self, context: Any, transfers: int, robbery: int | None = None) -> None:
        draw = random.Random(8)
        self.orders = [(*draw.sample(range(ACCOUNTS), 2), draw.randint(1, 50)) for _ in range(transfers)]
        self.done = context.Array("b", transfers, lock=False)
        self.balances = context.Array("q", [OPENING] * ACCOUNTS, lock=False)
        self.locks = [context.Lock(on_abandoned="raise") for _ in range(ACCOUNTS)]
        self.robbery, self.robbed, self.repairs = robbery, context.Value("i", 0), context.Value("i", 0)

    def transfer(self, number: int) -> None:
        source, target, amount = self.orders[number]
        with self.account(min(source, target)), self.account(max(source, target)):
            if self.done[number]:  # by a teller who was killed before he could say so
                return
            self.balances[source] -= amount
            if number == self.robbery and self.robbed.exchange(1) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.balances[target] += amount
            self.done[number] = 1

    @contextlib.contextmanager
    def account(self, number: int) -> Iterator[None]:
        """Hold an account's lock. If who held it before died, put the account right first."""
        with self.locks[number].repair() as death:
            if death is not None:
                self.balances[number] = self.by_the_books(number)
                self.repairs.add(1)
            yield

    def by_the_books(self, account: int) -> int:
        balance = OPENING
        for (source, target, amount), done in zip(self.orders, self.done, strict=True):
            balance += done * amount * ((target == account) - (source == account))
        return balance


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transfers", type=int, default=20_000)
    parser.add_argument("--workers", type=int, help="tellers (default: as many as there are CPUs)")
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread (where nobody can be killed)")
    args = parser.parse_args()
    context = procession.get_context(args.engine)
    bank = Bank(context, args.transfers, None if args.engine == "thread" else ROBBERY)
    with context.Pool(args.workers) as pool:
        pool.map(bank.transfer, range(args.transfers), retries=1)
    print(f"{sum(bank.done)} transfers, {bank.robbed.value} teller killed, {bank.repairs.value} accounts put right")
    print("balances", *bank.balances, "add up to", sum(bank.balances))
    assert list(bank.balances) == [bank.by_the_books(account) for account in range(ACCOUNTS)]
    assert sum(bank.balances) == ACCOUNTS * OPENING, "money was made or lost"
