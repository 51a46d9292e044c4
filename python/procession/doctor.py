"""What this machine allows, found out by trying: what `procession doctor` prints.

Each check is a function that yields findings. Where a thing can be done it is done (a process is started by every
method, memory is shared and read from outside); where it only can be read, it is read from the kernel. A finding that
is a problem says what mends it. Nothing stays behind.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass

from . import _cpu, _registry
from ._sizes import shown_size
from ._store import shared_arena
from .context import concrete_contexts, get_context

__all__ = ["Finding", "examine"]

START_S = 20  # seconds that a process may take to start
FEW_DESCRIPTORS = 256  # a pool of 64 workers needs about as many
EXTRAS = {  # what is optional, and what it is for
    "cloudpickle": ("pickle", "lambdas and closures as functions of a pool"),
    "joblib": ("joblib", "joblib on procession"),
    "pyarrow": ("arrow", "answers as Arrow"),
    "distributed": ("dask", "contexts and commands on Dask"),
    "ray": ("ray", "contexts and commands on Ray"),
    "textual": ("top", "procession top"),
    "psutil": ("top", "processor time and memory in procession top"),
    "py-spy": ("top", "Python stacks in procession top"),
    "textual-serve": ("top", "procession top --web"),
    "backports.zstd": ("zstd", "input compressed with zstd"),
}
VARIABLES = (  # all that any source reads; docs/reference/environment.md says what they mean
    "PROCESSION_ARENA_LIMIT",
    "PROCESSION_CHAOS",
    "PROCESSION_CHAOS_LOG",
    "PROCESSION_CHECK",
    "PROCESSION_CLUSTER_TIMEOUT",
    "PROCESSION_DETECT_DEADLOCKS",
    "PROCESSION_FORWARD_OUTPUT",
    "PROCESSION_HOME",
    "PROCESSION_PROGRESS",
    "PROCESSION_RECORD",
    "PROCESSION_RECORD_LIMIT",
    "PROCESSION_TOP_SERVER",
    "PROCESSION_WORKER_THREADS",
)


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    topic: str
    name: str
    value: str
    problem: bool = False  # something of procession does not work
    mend: str = ""  # what to do about it, or what follows


def examine() -> Iterator[Finding]:
    """All findings, as they are made. Takes about a second; blocks for `START_S` where a process does not start."""
    for check in (_versions, _processors, _memory, _starts, _watching, _limits, _extras, _environment):
        yield from check()


def _versions() -> Iterator[Finding]:
    build = " free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    yield Finding("versions", "procession", importlib.metadata.version("procession"))
    yield Finding("versions", "Python", f"{platform.python_implementation()} {platform.python_version()}{build}")
    libc = " ".join(filter(None, platform.libc_ver()))
    yield Finding("versions", "system", f"{platform.system()} {platform.release()}, {platform.machine()}, {libc}")


def _processors() -> Iterator[Finding]:
    usable, there = _cpu.cpu_count(), os.cpu_count() or 1
    follows = "" if usable == there else "pools have as many workers as may be used, not as there are"
    yield Finding("processors", "usable", f"{usable} of {there}", mend=follows)
    affinity, quotas = len(os.sched_getaffinity(0)), sorted(_cpu._quotas("/"))
    yield Finding("processors", "affinity", str(affinity))
    yield Finding("processors", "quota of control groups", str(quotas[0]) if quotas else "none")


def _memory() -> Iterator[Finding]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("memory", "physical", shown_size(total))
    for group in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(group)
        if text.isdigit() and int(text) < total:
            mend = "give it to procession as well: PROCESSION_ARENA_LIMIT=BYTES, which is an error where it is passed"
            yield Finding("memory", "limit of the control group", shown_size(int(text)), mend=mend)
    try:
        limit = shared_arena().statistics()["limit"]
        yield Finding("memory", "may be shared", shown_size(limit))
    except (OSError, MemoryError, ValueError) as error:
        mend = "look at `ulimit -v` and `ulimit -f`, and whether memfd_create is allowed (seccomp)"
        yield Finding("memory", "may be shared", f"none: {error}", problem=True, mend=mend)
    room = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 0
    follows = "only SharedMemory, the standard library's, lies there"
    yield Finding("memory", "free in /dev/shm", shown_size(room) if room else "none", mend=follows)


def _nothing() -> None:
    """What a process does that is started to see whether it starts."""


def _starts() -> Iterator[Finding]:
    for method in concrete_contexts:
        began = time.perf_counter()
        try:
            process = get_context(method).Process(target=_nothing)
            process.start()
            process.join(START_S)
            ended = process.exitcode
        except Exception as error:
            yield Finding("start methods", method, f"fails: {type(error).__name__}: {error}", problem=True)
            continue
        told = f"{1000 * (time.perf_counter() - began):.1f} ms"
        if ended is None:
            process.kill()
            process.join()
        if ended != 0:
            told = f"has not ended after {START_S} s" if ended is None else f"ended with code {ended}"
        yield Finding("start methods", method, told, problem=ended != 0)


def _watching() -> Iterator[Finding]:
    """What `ps` and `top` need: the memory of other processes, and for stacks the right to trace them."""
    try:
        with get_context("fork").Pool(1) as pool:
            worker = pool.apply(os.getpid)
            seen = worker in {process.pid for process in _registry.program(os.getpid()).processes}
        pool.join()
        yield Finding("watching", "processes of a program", "seen" if seen else "not seen", problem=not seen)
    except Exception as error:
        yield Finding("watching", "processes of a program", f"{type(error).__name__}: {error}", problem=True)
    scope = _read("/proc/sys/kernel/yama/ptrace_scope")
    free = scope in ("", "0") or os.geteuid() == 0
    mend = "" if free else "Python stacks in top need `sysctl kernel.yama.ptrace_scope=0`, or sudo"
    yield Finding(
        "watching", "stacks of running programs", "allowed" if free else f"ptrace_scope is {scope}", mend=mend
    )


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    mend = f"raise it: ulimit -n {min(hard, 4096) if hard > 0 else 4096}" if 0 <= soft < FEW_DESCRIPTORS else ""
    yield Finding("limits", "open files", _shown(soft), problem=bool(mend), mend=mend)
    yield Finding("limits", "processes of this user", _shown(resource.getrlimit(resource.RLIMIT_NPROC)[0]))
    pids = _read("/sys/fs/cgroup/pids.max")
    if pids.isdigit():
        yield Finding("limits", "processes of the control group", pids)
    size = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    mend = "" if size < 0 else "shared memory is a file to the kernel: ulimit -f unlimited"
    yield Finding("limits", "size of a file", _shown(size, bytes_=True), problem=bool(mend), mend=mend)


def _extras() -> Iterator[Finding]:
    for package, (extra, purpose) in EXTRAS.items():
        try:
            value = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            if package == "backports.zstd" and sys.version_info >= (3, 14):
                continue
            value, purpose = "not installed", f"{purpose}: pip install 'procession[{extra}]'"
        yield Finding("extras", package, value, mend=purpose)


def _environment() -> Iterator[Finding]:
    found = [name for name in os.environ if name.startswith("PROCESSION_")]
    for name in sorted(found):
        unknown = name not in VARIABLES
        mend = f"procession knows no such variable; it knows {', '.join(VARIABLES)}" if unknown else ""
        yield Finding("environment", name, os.environ[name], problem=unknown, mend=mend)
    if not found:
        yield Finding("environment", "PROCESSION_…", "none is set")


def _shown(limit: int, *, bytes_: bool = False) -> str:
    if limit == resource.RLIM_INFINITY:
        return "unlimited"
    return shown_size(limit) if bytes_ else str(limit)


def _read(path: str) -> str:
    return (_cpu._read("/", path) or "").strip()
