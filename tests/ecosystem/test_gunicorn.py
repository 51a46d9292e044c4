"""A prefork server: gunicorn with --preload, whose workers (plain forks) share a Value and a Lock."""

from __future__ import annotations

import http.client
import itertools
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

from procession.testing import wait_until

SERVED = """
import os
import procession
balance = procession.Value("i", 0, lock=False)
lock = procession.Lock()

def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/deposit":
        with lock:
            before = balance.value
            os.sched_yield()
            balance.value = before + 1
    elif path == "/die":
        lock.acquire()
        os.kill(os.getpid(), 9)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {balance.value}".encode()]
"""
EACH, THREADS = 100, 4


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Where the server listens; the socket is made here and inherited by it."""
    (tmp_path / "served.py").write_text(SERVED)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=2", "--log-level=warning"]
        command += [f"--bind=fd://{listener.fileno()}", "served:application"]
        with open(tmp_path / "log", "wb") as log:
            server = subprocess.Popen(command, cwd=tmp_path, stderr=log, pass_fds=[listener.fileno()])
        number = listener.getsockname()[1]
        try:
            yield number
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    print((tmp_path / "log").read_text())
    assert server.returncode == 0


def ask(port: int, path: str) -> tuple[int, int]:
    """The pid of the worker that answered, and the balance."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        pid, balance = connection.getresponse().read().split()
        return int(pid), int(balance)
    finally:
        connection.close()


@pytest.mark.slow
def test_workers_share_a_value_and_a_lock(port: int) -> None:
    pids: list[int] = []

    def deposit() -> None:
        """So many, and then until both workers have served: the kernel may well wake the same one every time."""
        for number in itertools.count():
            if number >= EACH and len(set(pids)) == 2:
                break
            pids.append(ask(port, "/deposit")[0])

    threads = [threading.Thread(target=deposit) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(port, "/")[1] == len(pids) >= EACH * THREADS


@pytest.mark.slow
def test_a_worker_that_dies_with_the_lock_stops_nobody(port: int) -> None:
    assert ask(port, "/deposit")[1] == 1
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask(port, "/die")
    assert ask(port, "/deposit")[1] == 2
    seen: set[int] = set()

    def both_serve() -> bool:
        seen.add(ask(port, "/deposit")[0])
        return len(seen) >= 2

    wait_until(both_serve)
