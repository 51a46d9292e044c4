"""Fixtures for every test: a watchdog, a leak check, and the contexts.

A test that hangs is ended after a minute: all stacks are printed and everything it started is killed, which as a rule
lets the test fail and the others go on; if it does not, the whole run ends a little later.
"""

import contextlib
import faulthandler
import gc
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import homes
import postgresql
import pytest
from parties import Team
from sharing import Sharing

import procession
from procession.pool import Pool
from procession.testing import check_leaks, descendants

WATCHDOG_S = 60
LAST_RESORT_S = 15  # seconds after that, the run ends

CONTEXTS = ["fork", "spawn", "forkserver", "thread"]


@pytest.fixture(params=CONTEXTS)
def context(request: pytest.FixtureRequest) -> Any:
    """Every context in turn."""
    return procession.get_context(request.param)


@pytest.fixture(params=CONTEXTS[:3])
def process_context(request: pytest.FixtureRequest) -> Any:
    """Every context that starts processes, in turn."""
    return procession.get_context(request.param)


@pytest.fixture(params=["fork", "thread"])
def ctx(request: pytest.FixtureRequest) -> Any:
    """One shared arena, one private."""
    return procession.get_context(request.param)


@pytest.fixture
def fork() -> Any:
    """Processes that can be killed."""
    return procession.get_context("fork")


@pytest.fixture(scope="session")
def distributed() -> Any:
    """Dask's package, loaded no sooner than it is needed: from then on this process unpickles exceptions without a call
    of their `__init__` (tblib), so that a `SystemExit` that comes back has lost its code."""
    return pytest.importorskip("distributed", reason="needs distributed: pip install 'procession[dask]'")


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """A PostgreSQL server's address."""
    pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")
    with contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(postgresql.server())
        except postgresql.NoServer as error:
            pytest.skip(str(error))
        yield address


@pytest.fixture
def team() -> Iterator[Team]:
    """Parties that have ended when the test has."""
    team = Team()
    yield team
    team.end()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


# Everywhere


@pytest.fixture(scope="session")
def dask_context() -> Iterator[Any]:
    """Dask on this machine."""
    with homes.cluster("dask") as context:
        yield context


@pytest.fixture(scope="session")
def ray_context() -> Iterator[Any]:
    """Ray on this machine."""
    with homes.cluster("ray") as context:
        yield context


@pytest.fixture(scope="module", params=homes.params())
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A context on every engine in turn."""
    if request.param in homes.CLUSTERS:
        yield request.getfixturevalue(f"{request.param}_context")
        return
    with homes.engine(request.param) as context:
        yield context


@pytest.fixture
def shares_memory(request: pytest.FixtureRequest) -> bool:
    """Whether this engine's workers are threads of this process."""
    return request.node.callspec.params["engine"] in ("thread", "threads")


@pytest.fixture(params=homes.HOMES)
def home(request: pytest.FixtureRequest, engine: Any, tmp_path: Path) -> Any:
    """What makes primitives, in every home in turn."""
    return homes.home(request.param, engine, tmp_path)


# Pools. A spawned worker takes a tenth of a second to start: spawn is tested where it makes a difference, in one go.


@pytest.fixture(params=["fork", "forkserver", "thread"])
def quick_context(request: pytest.FixtureRequest) -> Any:
    return procession.get_context(request.param)


@pytest.fixture(params=["fork", "forkserver"])
def quick_process_context(request: pytest.FixtureRequest) -> Any:
    return procession.get_context(request.param)


@pytest.fixture
def pool(quick_context: Any) -> Iterator[Pool]:
    with quick_context.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def process_pool(quick_process_context: Any) -> Iterator[Pool]:
    with quick_process_context.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def fork_pool() -> Iterator[Pool]:
    with procession.get_context("fork").Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def thread_pool() -> Iterator[Pool]:
    with procession.get_context("thread").Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture(autouse=True)
def _watchdog(request: pytest.FixtureRequest) -> Iterator[None]:
    marker = request.node.get_closest_marker("watchdog")
    seconds = marker.args[0] if marker else WATCHDOG_S
    timer = threading.Timer(seconds, _end_hanging_test, [request.config, request.node.nodeid])
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + LAST_RESORT_S, exit=True, file=_real_stderr(request.config))
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()
        timer.join()


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest, _watchdog: None) -> Iterator[None]:
    if any(homes.is_late(request.node)):  # Dask and Ray open what they like; it is looked at their end
        yield
        return
    with check_leaks():
        yield


@pytest.fixture(scope="module", autouse=True)
def _imported() -> Iterator[None]:
    """What a module's tests imported stays, and no later leak check needs to go through it: 30 ms each, in the end."""
    yield
    gc.collect()
    gc.freeze()


def _end_hanging_test(config: pytest.Config, name: str) -> None:
    stderr = _real_stderr(config)
    os.write(stderr, f"\n{name} has been running for too long; the stacks of its threads:\n".encode())
    faulthandler.dump_traceback(stderr, all_threads=True)
    for pid in reversed(descendants(os.getpid())):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _real_stderr(config: pytest.Config) -> int:
    """Standard error as it was before pytest began to capture it."""
    from _pytest.faulthandler import fault_handler_stderr_fd_key

    return config.stash[fault_handler_stderr_fd_key]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--claims", metavar="DIR", help="share the run with the other processes that are given this folder"
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # from a shell's `&`; the tests' programs would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if claims := config.getoption("--claims"):
        config.pluginmanager.register(Sharing(Path(claims)))
    config.addinivalue_line("markers", "watchdog(seconds): end the test after this time instead of a minute")
    config.addinivalue_line("markers", "slow: takes more than a quarter of a second")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The real packages last: what they import would be in the way of all the others. And behind them the clusters."""
    items.sort(key=lambda item: (homes.is_late(item), "ecosystem" in item.path.parts))


def pytest_collection_finish() -> None:
    """Every leak check collects garbage; pandas and the like, once imported, would cost each a tenth of a second."""
    gc.collect()
    gc.freeze()
