"""Dask's own commands, started as somebody would start them: a scheduler, and workers that have a directory each.

No worker has this repository's tests on its path, nor the directory of anything that a test runs; what reaches it was
sent. In namespaces each of them has a network of its own, with one cable to each place that it may speak to.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from procession.testing import wait_until

STARTING_S = 30.0
PORT = 8786  # where there is a network of its own
ALONE = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", "."]


class DaskCommands:
    """A scheduler's process and its workers'."""

    def __init__(self, place: Path, *, allowed_failures: int = 3) -> None:
        self.place = place
        self.environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = str(allowed_failures)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, inside: str | None = None) -> subprocess.Popen[bytes]:
        """One of `dask`'s commands, in a directory of its own, and in the network of a namespace if one is named."""
        directory = self.place / f"{command[0]}-{len(self.processes)}"
        directory.mkdir()
        prefix = [] if inside is None else ["ip", "netns", "exec", inside]
        with open(directory / "log", "wb") as log:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "dask", *command],
                cwd=directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def scheduler(self) -> str:
        """Start one on this machine; its address once it has one."""
        file = self.place / "scheduler.json"
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        wait_until(file.exists, STARTING_S)
        wait_until(lambda: file.read_text().endswith("}"), STARTING_S)
        address: str = json.loads(file.read_text())["address"].removeprefix("tcp://")
        return address

    def worker(self, address: str, *options: str, inside: str | None = None) -> subprocess.Popen[bytes]:
        """Start one, of one thread, that nobody starts again when it dies."""
        return self.start("worker", f"tcp://{address}", *ALONE, *options, inside=inside)

    def logs(self) -> str:
        """What they wrote, for whoever looks why a test failed."""
        return "\n".join(f"== {log}\n{log.read_text()}" for log in sorted(self.place.glob("*/log")))

    def end(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()


@contextmanager
def commands(place: Path, **options: Any) -> Iterator[DaskCommands]:
    """What starts them, and ends them all."""
    place.mkdir(exist_ok=True)
    started = DaskCommands(place, **options)
    try:
        yield started
    finally:
        started.end()


def workers_come(context: Any, count: int) -> None:
    """Return once there are so many."""
    wait_until(lambda: len(context.cluster.client.nthreads()) == count, STARTING_S)


# Networks


def can_make_networks() -> bool:
    """Whether this machine lets us, as root does."""
    with contextlib.suppress(OSError):
        name = f"pd{os.getpid()}try"
        if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0:
            subprocess.run(["ip", "netns", "del", name], check=True)
            return True
    return False


@contextmanager
def networks() -> Iterator[tuple[str, str, str, str]]:
    """Two of them: this machine has a cable to the first only, the first one to the second.

    Gives the first's name and its address as seen from here, the second's name and the first's address from there.
    """
    first, second, net = f"pd{os.getpid()}s", f"pd{os.getpid()}w", os.getpid() % 200
    here, there = f"10.87.{net}", f"10.88.{net}"
    script = f"""
        ip netns add {first} && ip netns add {second}
        ip link add {first}h type veth peer name {first}i && ip link set {first}i netns {first}
        ip link add {second}h type veth peer name {second}i
        ip link set {second}h netns {first} && ip link set {second}i netns {second}
        ip addr add {here}.1/24 dev {first}h && ip link set {first}h up
        ip -n {first} addr add {here}.2/24 dev {first}i && ip -n {first} link set {first}i up
        ip -n {first} addr add {there}.1/24 dev {second}h && ip -n {first} link set {second}h up
        ip -n {second} addr add {there}.2/24 dev {second}i && ip -n {second} link set {second}i up
        ip -n {first} link set lo up && ip -n {second} link set lo up
    """
    try:
        subprocess.run(["sh", "-ec", script], check=True, capture_output=True)
        yield first, f"{here}.2", second, f"{there}.1"
    finally:
        for name in (first, second):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", f"{first}h"], capture_output=True)
