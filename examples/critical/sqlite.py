"""A database in a file: two programs read a row in one transaction and write it in the next.

    python examples/critical/sqlite.py

prints the balance after two payments of 100, without a lock and with one.

Each transaction is all or nothing, and yet a payment is lost: what must not be parted lies in two of them. Where all of
it can be said in SQL, one transaction is the answer (`UPDATE account SET balance = balance + 100`). A lock is the
answer where something happens in between that the database does not see: a question to the user, a file, a server.
"""

import sqlite3
import tempfile
from contextlib import closing

from tellers import run, two_programs


def deposit(database, amount, lock, meanwhile):
    with lock, closing(sqlite3.connect(database)) as connection:
        with connection:
            (balance,) = connection.execute("SELECT balance FROM account").fetchone()  # read ...
        meanwhile()
        with connection:
            connection.execute("UPDATE account SET balance = ?", [balance + amount])  # ... and written


def balance_after_two(*, locked):
    with tempfile.TemporaryDirectory() as folder:
        database = f"{folder}/bank.db"
        with closing(sqlite3.connect(database)) as connection:
            with connection:
                connection.execute("CREATE TABLE account (balance INTEGER)")
                connection.execute("INSERT INTO account VALUES (0)")
            two_programs(__file__, database, locked=locked)
            return connection.execute("SELECT balance FROM account").fetchone()[0]


if __name__ == "__main__":
    run(deposit, balance_after_two)
