"""A Ray that other programs reach by its client port."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from procession.testing import wait_until

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


@contextmanager
def head(cpus: int = 2) -> Iterator[str]:
    """The address of a Ray that was started from the command line, with a client server."""
    port, gcs, dashboard = _free_ports(3)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:
        options = {
            "--port": gcs,
            "--ray-client-server-port": port,
            "--dashboard-port": dashboard,
            "--num-cpus": cpus,
            "--include-dashboard": "false",
            "--object-store-memory": 100_000_000,
            "--temp-dir": place,
        }
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block"]
        words = [*map(str, command), *(f"{name}={value}" for name, value in options.items())]
        said = Path(place) / "output"
        with said.open("w") as output:
            started = subprocess.Popen(words, stdout=output, stderr=output, env={**os.environ, **QUIET})
        try:
            wait_until(lambda: "Ray runtime started" in said.read_text() and _answers(port), 40)  # in either order
            yield f"ray://127.0.0.1:{port}"
        finally:
            started.terminate()
            started.wait(20)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [made.getsockname()[1] for made in sockets]
    finally:
        for made in sockets:
            made.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
