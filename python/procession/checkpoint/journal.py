"""The file of a checkpoint: which items are done and what came of them, in SQLite.

    about   name, value                            function, code, options; see `identity`
    items   number, digest, status, payload        status: DONE, FAILED or JOINED

A payload's form is its writer's business. The journal is in WAL mode and its connection in exclusive mode, and that
answers most questions. A commit is a write into the page cache without a sync, 11 µs for an item: it survives every
death of a process (not one of the machine: then SQLite's own recovery gives a state some moments older, a whole one
too). No memory is shared, so a network file system will do. The lock is one of the kernel's that dies with its process
and that a forked worker does not get, so there is never a stale one; and /proc/locks knows whose it is. `PATH-wal`
beside the file belongs to it until the journal was closed in an orderly way.

Items are committed as they come. Where they come faster than once a millisecond those of a burst are put together, and
a thread, started by the first burst, commits what no further item pushes out. So what a kill can lose is what came
within the last FLUSH_S seconds.

A worker's death is not the item's fault if everything is being killed, worker by worker: such a failure is held back
for a second (HELD_S), or to the end of the call, and forgotten if the call does not get there.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from time import monotonic

from ..errors import CheckpointError, CheckpointFull, CheckpointInUse, CheckpointMismatch, NotACheckpoint
from .given import Checkpoint, CheckpointStatistics

__all__ = ["DONE", "FAILED", "JOINED", "Journal"]

DONE, FAILED = 1, 2
JOINED = 3  # done, and in the payload of another item

APPLICATION = 0x70726F63  # "proc": what SQLite keeps in the file's header for `file` and the like
VERSION = 1

BURST_S = 0.001  # items that come sooner than this after a commit wait for others; so a commit's 11 µs are 1 %
FLUSH_S = 0.05  # but no longer than this
MOST_PENDING = 1000
MOST_PENDING_BYTES = 4 << 20  # arbitrary
HELD_S = 1.0
PAGE = 1000  # items that are looked up at once, with their payloads if these are
SMALL = 4096  # bytes at most

_SCHEMA = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE items (number INTEGER PRIMARY KEY, digest BLOB NOT NULL, status INTEGER NOT NULL, payload BLOB)",
)


class Journal:
    """An open journal. A context manager; left in any way, it has committed what it was given."""

    def __init__(
        self,
        checkpoint: Checkpoint | str,
        identity: dict[str, str],
        notes: dict[str, str] | None = None,
        *,
        what: str = "item",
        first: int = 0,
    ) -> None:
        """Open it, or make it. `identity`: what must be as it was, by name. `notes`: what need not, but is kept from
        the first time on; afterwards `notes` of the journal has what was kept. `what` and `first`: how messages call
        an item, and the number of the first one.

        Raises: CheckpointMismatch, CheckpointInUse, NotACheckpoint, CheckpointFull, CheckpointError.
        """
        self.checkpoint: Checkpoint = Checkpoint.of(checkpoint)
        self.path: str = self.checkpoint.path
        self._what = what
        self._first = first
        self.written: int = 0
        self.resumed = self.failed_before = 0
        self._lock = threading.Lock()
        self._pending: list[tuple[int, bytes, int, bytes]] = []
        self._pending_bytes = 0
        self._held: list[tuple[float, tuple[int, bytes, int, bytes]]] = []  # since when
        self._committed_at = -BURST_S
        self._flusher: threading.Thread | None = None
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._error: CheckpointError | None = None
        self._page: dict[int, tuple[bytes, int, bytes | None]] = {}
        self._page_end = 0  # the first number of which nothing has been read
        self.notes: dict[str, str] = dict(notes or {})
        self._open(identity)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}>"

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is None:
            self.close()
        else:
            with contextlib.suppress(CheckpointError):  # the first error is the one to tell
                self.close(orderly=False)

    # Opening

    def _open(self, identity: dict[str, str]) -> None:
        with contextlib.suppress(OSError):  # it exists, or SQLite says what is wrong
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        self._check_owner()
        with self._guarded():
            self._db = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            with self._guarded():
                self._begin(identity)
        except BaseException:
            self._db.close()
            raise

    def _begin(self, identity: dict[str, str]) -> None:
        db = self._db
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        is_new = not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not is_new:
            self._check_kind()
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN EXCLUSIVE")
        if self.checkpoint.reset and not is_new:
            db.execute("DROP TABLE about")
            db.execute("DROP TABLE items")
            is_new = True
        if is_new:
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            for statement in _SCHEMA:
                db.execute(statement)
            db.executemany("INSERT INTO about VALUES (?, ?)", sorted((identity | self.notes).items()))
        db.execute("COMMIT")
        self._compare(identity)

    def _check_owner(self) -> None:
        """Nobody else's pickles. The file is not opened for that: closing it would drop a lock of this process."""
        try:
            owner = os.stat(self.path).st_uid
        except OSError:
            return
        if owner != os.geteuid():
            message = (
                f"this checkpoint belongs to user {owner}, and reading it runs what is in it; copy it if you trust it"
            )
            raise CheckpointError(f"{self.path}: {message}", path=self.path)

    def _check_kind(self) -> None:
        application, version = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if application != APPLICATION:
            raise NotACheckpoint(f"{self.path}: this database is not a checkpoint; name another file", path=self.path)
        if version != VERSION:
            raise NotACheckpoint(
                f"{self.path}: a checkpoint of format {version}, and this version of procession has {VERSION}; name "
                "another file, or go on with the version that wrote it",
                path=self.path,
            )

    def _compare(self, identity: dict[str, str]) -> None:
        before = dict(self._db.execute("SELECT name, value FROM about"))
        self.notes = {name: before.pop(name, value) for name, value in self.notes.items()}
        for name in sorted({*identity, *before}, key=lambda name: (name == "code", name)):
            was, now = before.get(name), identity.get(name)
            if was != now:
                raise self.mismatch(name, _difference(name, was, now))

    def mismatch(self, part: str, difference: str, item: int | None = None) -> CheckpointMismatch:
        """The error for what is not as it was."""
        return CheckpointMismatch(
            f"{self.path}: {difference}; name another checkpoint, or begin this one anew (--checkpoint-reset, "
            "Checkpoint(path, reset=True))",
            path=self.path,
            part=part,
            item=item,
        )

    # What is known

    def known(self, number: int, digest: bytes) -> int | None:
        """DONE, FAILED or JOINED; None for what is to be done. To be asked in ascending order.

        Raises: CheckpointMismatch when it was another item that had this number.
        """
        if number >= self._page_end:
            self._read_page(number)
        found = self._page.get(number)
        if found is None:
            return None
        before, status, _ = found
        if before != digest:
            what = self._what
            raise self.mismatch("item", f"{what} {number} is not what it was when the checkpoint was written", number)
        return None if status == FAILED and self.checkpoint.retry_failed else status

    def _read_page(self, number: int) -> None:
        with self._guarded():
            rows = self._db.execute(
                "SELECT number, digest, status, CASE WHEN length(payload) <= ? THEN payload END FROM items "
                "WHERE number >= ? ORDER BY number LIMIT ?",
                (SMALL, number, PAGE),
            ).fetchall()
        self._page = {row[0]: row[1:] for row in rows}
        self._page_end = rows[-1][0] + 1 if len(rows) == PAGE else 2**62

    def payload(self, number: int) -> bytes:
        """What was written with an item that is known."""
        small = self._page[number][2]
        if small is not None:
            return small
        with self._guarded():
            payload: bytes = self._db.execute("SELECT payload FROM items WHERE number = ?", (number,)).fetchone()[0]
            return payload

    def check_end(self, count: int) -> None:
        """There are `count` items. Raises: CheckpointMismatch when there were more."""
        with self._guarded():
            last = self._db.execute("SELECT max(number) FROM items").fetchone()[0]
        if last is not None and last >= self._first + count:
            what = self._what
            difference = f"there are {count} {what}s, and there were more: {what} {last} was done"
            raise self.mismatch("item", difference, self._first + count)

    # What is new

    def add(self, number: int, digest: bytes, status: int, payload: bytes, *, hold: bool = False) -> None:
        """Write down what came of an item. `hold`: only if the call lives on; see the module.

        Raises: CheckpointFull, CheckpointError, also of an earlier item that could not be written.
        """
        row = number, digest, status, payload
        self.written += 1
        with self._guarded():
            now = monotonic()
            if hold:
                self._held.append((now, row))
                return
            self._release(now)
            self._pending.append(row)
            self._pending_bytes += len(payload)
            full = len(self._pending) >= MOST_PENDING or self._pending_bytes >= MOST_PENDING_BYTES
            if full or now - self._committed_at >= BURST_S:
                self._flush()
            else:
                self._have_flushed()

    def add_all(self, rows: list[tuple[int, bytes, int, bytes]]) -> None:
        """Write down several items at once: all of them, or after a death none. Raises: as `add`."""
        with self._guarded():
            self._pending.extend(rows)
            self._flush()
        self.written += len(rows)

    def _release(self, now: float) -> None:
        while self._held and now - self._held[0][0] >= HELD_S:
            self._pending.append(self._held.pop(0)[1])

    def _flush(self) -> None:
        """Commit. With the lock."""
        if self._error is not None:
            raise self._error
        if not self._pending:
            return
        try:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?)", self._pending)
            self._db.execute("COMMIT")
        except BaseException as error:  # an interrupt as well: `close` tries again
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                self._error = self._explained(error)
                raise self._error from error
            raise
        self._pending, self._pending_bytes = [], 0
        self._committed_at = monotonic()

    def _have_flushed(self) -> None:
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_now_and_then, name="procession-journal", daemon=True)
            self._flusher.start()
        self._wanted.set()

    def _flush_now_and_then(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closing.wait(FLUSH_S):
                return
            with contextlib.suppress(CheckpointError), self._lock:  # `add` and `close` will raise it
                self._flush()

    # The end

    def close(self, *, orderly: bool = True) -> None:
        """Commit what is left and close the file. `orderly`: what was held back counts. May be called again.

        Raises: as `add`.
        """
        if self._closing.is_set():
            return
        try:
            with self._guarded():
                if orderly:
                    self._release(float("inf"))
                self._flush()
        finally:
            self._closing.set()
            self._wanted.set()
            if self._flusher is not None:
                self._flusher.join()
            self._db.close()
            self.checkpoint.last = CheckpointStatistics(self.path, self.resumed, self.failed_before, self.written)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """One thread at a time, and SQLite's errors as ours."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise self._explained(error) from error

    def _explained(self, error: sqlite3.Error) -> CheckpointError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more about an I/O error
        path = self.path
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            pid = _holder(path)
            who = "another process" if pid is None else "this process" if pid == os.getpid() else f"process {pid}"
            return CheckpointInUse(f"{path}: {who} is using this checkpoint now", path=path, pid=pid)
        if code == sqlite3.SQLITE_NOTADB:
            return NotACheckpoint(f"{path}: this file is not a checkpoint; name another", path=path)
        if code == sqlite3.SQLITE_FULL:
            message = "there is no room for more; what was committed is whole: free some space and run again"
            return CheckpointFull(f"{path}: {message}", path=path)
        if code == sqlite3.SQLITE_CANTOPEN:
            message = "the checkpoint cannot be opened or made; is there such a directory, and may it be written to?"
            return CheckpointError(f"{path}: {message}", path=path)
        return CheckpointError(f"{path}: the checkpoint cannot be used: {error}", path=path)


def _difference(name: str, was: str | None, now: str | None) -> str:
    if name == "code" and was is not None and now is not None:
        before, after = was.split()[0], now.split()[0]
        if before != after:
            return f"the checkpoint was written by Python {before}, whose code cannot be compared with that of {after}"
        return "the function's code has changed since the checkpoint was written"
    return f"the checkpoint is for another {name}: {was}, not {now}"


def _holder(path: str) -> int | None:
    """Who has locked a file: its pid, if the kernel tells. Nothing is opened, which could drop a lock of our own."""
    try:
        status = os.stat(path)
        with open("/proc/locks", encoding="ascii") as table:
            lines = table.read().splitlines()
    except OSError:
        return None
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        fields = line.split()
        if len(fields) > 5 and fields[1] == "POSIX" and fields[3] == "WRITE" and fields[5] == wanted:
            return int(fields[4]) if int(fields[4]) > 0 else None
    return None
