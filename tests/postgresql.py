"""A real PostgreSQL for a test session: found or installed from Debian, started in a directory of its own, removed.

It listens on a socket in that directory and nowhere else, runs as the user it needs, and nothing of it is synced: what
is tested is who reads what when, not how it survives. `server` says why if there is none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from procession.testing import wait_until

LISTS_S, INSTALL_S = 60, 120  # seconds for apt-get update and install; 5 and 20 on a day like any other
START_S = 30  # seconds until it answers; takes less than one
USER = "postgres"  # whom Debian's packages make; the server refuses to run as root
DEBIAN = Path("/usr/lib/postgresql")  # where the programs are, a directory for each version; not on the PATH

QUICK = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "1MB",
    "max_connections": "10",
    "autovacuum": "off",
}


class NoServer(Exception):
    """There is no PostgreSQL here, and why there cannot be one."""


def programs() -> Path:
    """The directory with `initdb` and `postgres`, installing them if that is possible. Raises: NoServer."""
    with open(__file__) as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)  # another process of the same run may be at it
        found = _found()
        if found is None:
            _install()
            found = _found()
    if found is None:
        raise NoServer(f"PostgreSQL was installed, and there is no initdb in {DEBIAN}/*/bin")
    return found


def _found() -> Path | None:
    on_path = shutil.which("initdb")
    places = [Path(on_path).resolve().parent] if on_path else []
    places += sorted(DEBIAN.glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


def _install() -> None:
    """From Debian, without starting the server that its package would start. Raises: NoServer."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise NoServer("no PostgreSQL server, and no right to install one: apt-get install postgresql")
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command, seconds in (
        (["apt-get", "update", "-qq"], LISTS_S),
        (["apt-get", "install", "-qq", "--no-install-recommends", "postgresql"], INSTALL_S),
    ):
        try:
            done = subprocess.run(
                command, env=quietly, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise NoServer(f"{' '.join(command)} took longer than {seconds} s") from None
        if done.returncode:
            raise NoServer(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A running server's address, as psycopg and libpq take it. It has ended when the block has.

    Raises: NoServer; CalledProcessError or TimeoutError if it is there and does not come up.
    """
    place = programs()
    user = USER if os.geteuid() == 0 else None  # None: as who we are
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        data = folder / "data"
        running = {"cwd": folder, "user": user, "group": user, "extra_groups": [] if user else None}
        made = [place / "initdb", "--pgdata", data, "--auth=trust", f"--username={USER}", "--no-sync", "--no-locale"]
        subprocess.run([*made, "--encoding=UTF8"], check=True, capture_output=True, timeout=START_S, **running)
        settings = [f"--{key}={value}" for key, value in {**QUICK, "unix_socket_directories": name}.items()]
        with open(folder / "log", "wb") as log:
            # A session of its own: a test may send Ctrl-C to ours, of which the server would end.
            command = [place / "postgres", "-D", data, *settings]
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **running)
        try:
            wait_until(lambda: process.poll() is not None or _is_up(place, name), START_S)
            if process.returncode is not None:
                raise RuntimeError(f"PostgreSQL ended at once: {(folder / 'log').read_text()}")
            yield f"postgresql://{USER}@/{USER}?host={name}"
            if process.poll() is not None:
                raise RuntimeError(f"PostgreSQL ended before the tests did: {(folder / 'log').read_text()}")
        finally:
            process.send_signal(signal.SIGINT)  # "fast": ends the clients' sessions, then itself
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_up(place: Path, folder: str) -> bool:
    return subprocess.run([place / "pg_isready", "-q", "-h", folder], check=False).returncode == 0
