"""Ray started on this machine, or reached: quietly, and with clear errors.

`ray.init` is meant for a program that is all Ray's: it takes SIGTERM, warns, reports its use, leaves its logs in /tmp
for good, and of a port where nobody answers it tells after half a minute. Here that is put right, as far as it can be.
A local Ray lies in a directory of its own that goes with it. (Ray also writes a token to ~/.ray, by which its own
processes know each other.)
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import warnings
from concurrent.futures import Future
from contextlib import contextmanager, suppress

import ray

from ..._cpu import cpu_count
from ...errors import ClusterError, ClusterUnreachable, EngineMissing, VersionMismatch
from .. import PATIENCE_VARIABLE, patience
from .fates import versions_differ
from .keeper import started

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["connect", "start"]

TRIES = 2  # of a client server to start the process that it has for each client: under load one comes too late
STORE_BYTES = 512 << 20  # of a Ray started here, which puts on disk what does not fit; arbitrary
PREFIX = "procession-ray-"  # of the directory of such a one, then the pid of its program
MOST_PARENT = 20  # characters of where that lies: the paths of sockets in it have 86 more, and may have 107

_SETTINGS = {  # unless the user has others
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "10",  # seconds, not 30, until a Ray that does not answer is lost
}


def start() -> Callable[[], None]:
    """A Ray of this program's own, with one worker for each CPU. What ends it, with its processes and files."""
    directory = _directory()

    def end() -> None:
        ray.shutdown()
        shutil.rmtree(directory, ignore_errors=True)

    try:
        # (Ray's own processes end with the thread that starts them: not with one that comes and goes.)
        _in_main_or_lasting_thread(
            lambda: _init(
                num_cpus=cpu_count(),
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                log_to_driver=False,
                _temp_dir=directory,
            )
        )
    except BaseException:
        end()
        raise
    return end


def _directory() -> str:
    """A directory for a Ray's logs and sockets. Those of programs that were killed are removed."""
    parent = tempfile.gettempdir()
    parent = parent if len(parent) <= MOST_PARENT else "/tmp"
    for name in os.listdir(parent):
        pid, _, rest = name.removeprefix(PREFIX).partition("-")
        if name.startswith(PREFIX) and rest and pid.isdigit() and not started(int(pid)):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent)


def _init(**options: Any) -> None:
    """`ray.init`, quietly, and without what it does to the signals and warnings of the program."""
    is_main = threading.current_thread() is threading.main_thread()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update({name: value for name, value in _SETTINGS.items() if before[name] is None})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(logging_level=logging.ERROR, **options)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
        if is_main and on_sigterm not in (signal.SIG_DFL, None):
            signal.signal(signal.SIGTERM, on_sigterm)


def _in_main_or_lasting_thread(function: Callable[[], object]) -> None:
    """Call it in a thread that ends no earlier than the program."""
    if threading.current_thread() is threading.main_thread():
        function()
        return
    done: Future[None] = Future()

    def run() -> None:
        try:
            function()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        threading.Event().wait()

    threading.Thread(target=run, name="ray-starter", daemon=True).start()
    done.result()


def _reach(address: str, name: str) -> None:
    """Be a client of a Ray elsewhere. Raises: ClusterUnreachable, and what Ray does."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{name!r} is no address of a Ray: it is 'ray://host:port', or 'ray://auto'")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=patience()).close()
    except OSError as error:
        raise ClusterUnreachable(
            f"nobody answers at {name} ({error.strerror or error}): start a Ray there with `ray start --head "
            f"--ray-client-server-port={port}`, or use get_context('ray') for one on this machine; {PATIENCE_VARIABLE} "
            "says how many seconds to wait",
            cluster=name,
        ) from error
    with suppress(ImportError):
        # As `ray.init` does for "auto": a token that this user has is used
        from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

        logging.getLogger("ray").setLevel(logging.ERROR)  # as `_init` has it; this would be told of
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    for left in reversed(range(TRIES)):
        try:
            _init(address=name)
        except ConnectionError as error:
            if not left or "Starting Ray client server failed" not in str(error):
                raise
        else:
            return


def connect(address: str, name: str) -> None:
    """Connect this program to the Ray at an address. Raises: ClusterUnreachable, VersionMismatch, EngineMissing."""
    with _translated(name):
        if address == "auto":
            _init(address="auto")
        else:
            _reach(address, name)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Ray's errors of connecting as ours."""
    try:
        yield
    except (ClusterError, EngineMissing):
        raise
    except Exception as error:
        if versions := versions_differ(str(error)):
            here, there = versions
            raise VersionMismatch(
                f"the Ray at {name} has {there}, and this program {here}: install the same here or there",
                cluster=name,
                here=here,
                there=there,
            ) from error
        if "ray[client]" in str(error):
            raise EngineMissing(f"{name} needs Ray's client: pip install 'procession[ray]'") from error
        if not isinstance(error, ConnectionError):
            raise
        if name == "ray://auto":
            text = "there is no Ray on this machine to be found: `ray start --head` starts one, get_context('ray') too"
        else:
            text = (
                f"{name} does not answer as a Ray: is it the port of its client server (ray start --head "
                "--ray-client-server-port=…, 10001 as a rule), and is its token, if it wants one, in RAY_AUTH_TOKEN? "
                f"(Ray says: {error})"
            )
        raise ClusterUnreachable(text, cluster=name) from error
