"""A number in memory: two processes pay into one account.

    python examples/critical/memory.py

prints what the account holds after two payments of 100, without a lock and with one.
"""

from contextlib import nullcontext

from tellers import two_children

import procession


def deposit(account, amount, lock, meanwhile):
    with lock:
        balance = account.value  # read ...
        meanwhile()
        account.value = balance + amount  # ... and written back


def main():
    account = procession.Value("i", 0)
    two_children(deposit, account, nullcontext())
    print("without the lock:", account.value)

    account = procession.Value("i", 0)
    two_children(deposit, account, account.get_lock())  # every Value has a lock of its own
    print("with the lock:", account.value)


if __name__ == "__main__":
    main()
