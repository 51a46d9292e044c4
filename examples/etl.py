"""Sales out of CSV files into a database: cleaned on all cores, each file loaded as a whole or not at all.

    python examples/etl.py                                      # makes files to try it on, and a database in SQLite
    python examples/etl.py shop/*.csv --database sales.db       # or postgresql://user@host/database

It shows: SQLite takes one writer, so workers clean, and this process writes what `imap_unordered` brings. PostgreSQL
takes many: each worker loads its own files by COPY. A file is one transaction, in which it replaces what it had loaded
before: after kill -9 of everybody give the same command again; the file of a worker that dies is done again at once.
"""

import argparse
import csv
import sqlite3
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

import procession

TABLE = "CREATE TABLE IF NOT EXISTS sales (file TEXT, line INTEGER, city TEXT, cents BIGINT, PRIMARY KEY (file, line))"


def connect(database):
    if not database.startswith("postgresql:"):
        return sqlite3.connect(database)
    import psycopg  # pip install 'psycopg[binary]'

    return psycopg.connect(database, autocommit=True)


def clean(path):
    with open(path, newline="") as file:
        read = [(line, row["city"].strip().title(), row["price"]) for line, row in enumerate(csv.DictReader(file), 2)]
    rows = [(path, n, city, round(float(price) * 100)) for n, city, price in read if price.replace(".", "").isdigit()]
    return path, rows, len(read) - len(rows)


def copy(database, path):
    path, rows, rejected = clean(path)
    with connect(database) as connection, connection.transaction(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM sales WHERE file = %s", [path])
        with cursor.copy("COPY sales FROM STDIN") as table:
            for row in rows:
                table.write_row(row)
    return len(rows), rejected


def make_sample(folder):
    prices = [f"{line % 90}.50" if line % 500 else "none" for line in range(1, 5001)]
    for shop in range(8):
        Path(folder, f"{shop}.csv").write_text("city,price\n" + "".join(f" rome,{price}\n" for price in prices))
    return Path(folder).glob("*.csv")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--database", default=":memory:", help="a file, or the address of a PostgreSQL")
    parser.add_argument("--workers", type=int, help="default: as many as there are CPUs")
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread (default: Python's own)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, procession.get_context(args.engine).Pool(args.workers) as pool:
        counts, paths = [], [str(path.resolve()) for path in args.files or make_sample(folder)]
        with closing(connect(args.database)) as connection:
            connection.execute(TABLE)
            if args.database.startswith("postgresql:"):
                counts.extend(pool.imap_unordered(partial(copy, args.database), paths, retries=1))
            else:
                for path, rows, rejected in pool.imap_unordered(clean, paths, retries=1):
                    with connection:  # commits, or rolls back
                        connection.execute("DELETE FROM sales WHERE file = ?", [path])
                        connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?)", rows)
                    counts.append((len(rows), rejected))
            stored = dict(connection.execute("SELECT file, count(*) FROM sales GROUP BY file").fetchall())
    loaded, rejected = map(sum, zip(*counts, strict=True))
    if loaded != sum(stored.get(path, 0) for path in paths):
        raise SystemExit("the table has not what was loaded")
    print(f"{len(paths)} files: {loaded:,} rows are in the table, {rejected} were rejected")
