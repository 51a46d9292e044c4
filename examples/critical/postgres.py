"""A database server: two programs read a row in one transaction and write it in the next.

    python examples/critical/postgres.py postgresql://user@host/database

prints the balance after two payments of 100, without a lock and with one. It needs psycopg and a PostgreSQL server, in
which it makes a table `critical_account` and drops it again.

The lock is a file of this machine, so it keeps apart the programs of this machine. See sqlite.py for when a lock is the
answer, and when SQL is; a server can also lock for clients of several machines (`SELECT ... FOR UPDATE`, as long as the
transaction lasts; `pg_advisory_lock`).
"""

import sys
from contextlib import closing

import psycopg
from tellers import run, two_programs


def deposit(database, amount, lock, meanwhile):
    with lock, closing(psycopg.connect(database)) as connection:
        with connection.transaction():
            (balance,) = connection.execute("SELECT balance FROM critical_account").fetchone()  # read ...
        meanwhile()
        with connection.transaction():
            connection.execute("UPDATE critical_account SET balance = %s", [balance + amount])  # ... and written


def balance_after_two(*, locked):
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/critical/postgres.py postgresql://user@host/database")
    database = sys.argv[1]
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        connection.execute("CREATE TABLE critical_account AS SELECT 0 AS balance")
        try:
            two_programs(__file__, database, locked=locked)
            return connection.execute("SELECT balance FROM critical_account").fetchone()[0]
        finally:
            connection.execute("DROP TABLE critical_account")


if __name__ == "__main__":
    run(deposit, balance_after_two)
