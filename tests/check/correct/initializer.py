# METHODS: fork spawn forkserver
"""A pool's initializer gives each worker a connection of its own; the parent has one as well."""

import sqlite3
from multiprocessing import Pool

connection = None
statements = 0


def connect():
    global connection
    connection = sqlite3.connect(":memory:")


def square(number):
    global statements
    statements += 1
    return connection.execute("SELECT ? * ?", (number, number)).fetchone()[0]


def main():
    global connection
    with Pool(2, initializer=connect) as pool:
        print(sum(pool.map(square, range(20))))
    connect()
    print(connection.execute("SELECT 1").fetchone()[0])


if __name__ == "__main__":
    main()
