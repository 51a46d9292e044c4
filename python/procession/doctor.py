"""What this machine allows, found out by trying: what `procession doctor` prints.

Each check is a function that yields findings. Where a thing can be done it is done (a process is started by every
method, memory is shared and read from outside); where it only can be read, it is read from the kernel. A finding that
is a problem says what mends it. Nothing stays behind.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import platform
import resource
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from . import _chaos, _cpu, _recording, _registry, _waits
from ._clusters import patience
from ._sizes import shown_size
from ._store import arena_limit, shared_arena
from ._variables import switched
from .context import concrete_contexts, get_context
from .pool.blas import threads_each

__all__ = ["BROKEN", "LIMITED", "MISSING", "OK", "Finding", "Verdict", "examine"]

START_S = 20  # seconds that a process may take to start
FEW_DESCRIPTORS = 256  # a pool of 64 workers needs about as many
ENOUGH_DESCRIPTORS = 4096
FEW_PROCESSES = 64  # processes and threads count
EXTRAS = {  # what is optional, and what it is for
    "cloudpickle": ("pickle", "lambdas and closures in pools"),
    "joblib": ("joblib", "joblib on procession"),
    "pyarrow": ("arrow", "answers as Arrow"),
    "distributed": ("dask", "contexts and commands on Dask"),
    "ray": ("ray", "contexts and commands on Ray"),
    "textual": ("top", "procession top"),
    "psutil": ("top", "CPU and memory in procession top"),
    "py-spy": ("top", "Python stacks in procession top"),
    "textual-serve": ("top", "procession top --web"),
    "backports.zstd": ("zstd", "input compressed with zstd"),
}
STARTS = "look at what is broken above, and at the limits below"
SEEN = "ps and top cannot look into programs: see what is broken above; seccomp may forbid to read their memory"
MEMFD = "a seccomp profile forbids it: allow memfd_create, as Docker's own profile does"
PIDFD = "run --trace and --report need it: Linux 5.3, and a seccomp profile that allows it"
# All that any source reads, with what raises ValueError for nonsense; docs/reference/environment.md says what they mean
VARIABLES: dict[str, Callable[[], object] | None] = {
    "PROCESSION_ARENA_LIMIT": arena_limit,
    "PROCESSION_CHAOS": partial(_chaos.orders, os.environ),
    "PROCESSION_CHAOS_LOG": None,
    "PROCESSION_CHECK": None,
    "PROCESSION_CLUSTER_TIMEOUT": patience,
    "PROCESSION_DETECT_DEADLOCKS": _waits.is_wanted,
    "PROCESSION_FORWARD_OUTPUT": partial(switched, "PROCESSION_FORWARD_OUTPUT"),
    "PROCESSION_HOME": None,
    "PROCESSION_PROGRESS": partial(switched, "PROCESSION_PROGRESS"),
    "PROCESSION_RECORD": None,
    "PROCESSION_RECORD_LIMIT": _recording.limit,
    "PROCESSION_TOP_SERVER": None,  # a number, but only `top` itself sets it
    "PROCESSION_WORKER_THREADS": partial(threads_each, 1),
}


Verdict = Literal["ok", "limited", "missing", "broken"]
OK: Verdict = "ok"
LIMITED: Verdict = "limited"  # works, with less than the machine has or a program may want
MISSING: Verdict = "missing"  # optional, and not there
BROKEN: Verdict = "broken"  # does not work


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    topic: str
    name: str
    value: str
    verdict: Verdict = OK
    mend: str = ""  # what to do about it, or what follows

    @property
    def problem(self) -> bool:
        """Whether something of procession does not work."""
        return self.verdict == BROKEN


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
    yield Finding("processors", "usable", f"{usable} of {there}", _less(usable < there))
    affinity, quotas = len(os.sched_getaffinity(0)), sorted(_cpu._quotas("/"))
    mend = "" if affinity >= there else "taskset, or who started this, leaves the others out"
    yield Finding("processors", "affinity", f"{affinity} of {there}", _less(affinity < there), mend)
    limited = bool(quotas) and quotas[0] < there
    mend = "pools have as many workers as this allows; docker --cpus, Kubernetes' limits or systemd's CPUQuota set it"
    told = f"{quotas[0]}, a part counted as a whole one" if quotas else "none"
    yield Finding("processors", "cgroup quota", told, _less(limited), mend if limited else "")


def _less(limited: bool) -> Verdict:
    return LIMITED if limited else OK


def _memory() -> Iterator[Finding]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("memory", "physical", shown_size(total))
    granted = min(_of_groups("memory", "memory.max", "memory.limit_in_bytes"), default=total)
    if granted < total:
        mend = f"tell procession too, or who passes it is killed: PROCESSION_ARENA_LIMIT={3 * granted // 4}"
        yield Finding("memory", "cgroup limit", shown_size(granted), LIMITED, mend)
    yield _tried("memory", "memfd_create", lambda: os.memfd_create("doctor"), BROKEN, MEMFD)
    yield _tried("memory", "pidfd_open", lambda: os.pidfd_open(os.getpid()), LIMITED, PIDFD)
    try:
        yield Finding("memory", "may be shared", shown_size(shared_arena().statistics()["limit"]))
    except (OSError, MemoryError, ValueError) as error:
        yield Finding("memory", "may be shared", f"none: {error}", BROKEN, "look at the limits below, and memfd_create")
    room = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 0
    mend = "" if room else "only SharedMemory, the standard library's, lies there: mount -t tmpfs tmpfs /dev/shm"
    yield Finding("memory", "free in /dev/shm", shown_size(room) if room else "none", OK if room else MISSING, mend)


def _tried(topic: str, name: str, opened: Callable[[], int], otherwise: Verdict, mend: str) -> Finding:
    """Whether a system call that opens something may be used."""
    try:
        os.close(opened())
    except OSError as error:
        return Finding(topic, name, os.strerror(error.errno or 0), otherwise, mend)
    return Finding(topic, name, "allowed")


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
            yield Finding("start methods", method, f"fails: {type(error).__name__}: {error}", BROKEN, STARTS)
            continue
        told = f"{1000 * (time.perf_counter() - began):.1f} ms"
        if ended is None:
            process.kill()
            process.join()
        if ended != 0:
            told = f"has not ended after {START_S} s" if ended is None else f"ended with code {ended}"
        yield Finding("start methods", method, told, OK if ended == 0 else BROKEN, "" if ended == 0 else STARTS)


def _watching() -> Iterator[Finding]:
    """What `ps` and `top` need: the memory of other processes, and for stacks the right to trace them."""
    try:
        with get_context("fork").Pool(1) as pool:
            worker = pool.apply(os.getpid)
            seen = worker in {process.pid for process in _registry.program(os.getpid()).processes}
        pool.join()
        told, verdict = ("seen", OK) if seen else ("not seen", BROKEN)
    except Exception as error:
        told, verdict = f"{type(error).__name__}: {error}", BROKEN
    yield Finding("watching", "processes of a program", told, verdict, "" if verdict == OK else SEEN)
    scope = _read("/proc/sys/kernel/yama/ptrace_scope")
    free = scope in ("", "0") or os.geteuid() == 0
    mend = "" if free else "Python stacks in top need: sudo sysctl kernel.yama.ptrace_scope=0; or sudo"
    told = "allowed" if free else f"ptrace_scope is {scope}"
    yield Finding("watching", "stacks of running programs", told, _less(not free), mend)


def _limits() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 0 <= soft < FEW_DESCRIPTORS
    more = max(soft, min(hard, ENOUGH_DESCRIPTORS) if hard >= 0 else ENOUGH_DESCRIPTORS)
    mend = f"large pools need more: ulimit -n {more}" if more > soft else "large pools need more, and root's leave"
    yield Finding("limits", "open files (-n)", _shown(soft), _less(few), mend if few else "")
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    few = 0 <= processes < FEW_PROCESSES
    yield Finding(
        "limits", "processes (-u)", _shown(processes), _less(few), "it counts all of this user" if few else ""
    )
    if groups := _of_groups("pids", "pids.max", "pids.max"):
        few = min(groups) < FEW_PROCESSES
        mend = "docker --pids-limit or systemd's TasksMax set it" if few else ""
        yield Finding("limits", "cgroup processes", str(min(groups)), _less(few), mend)
    size = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    mend = "" if size < 0 else "shared memory is a file to the kernel: ulimit -f unlimited"
    yield Finding("limits", "size of a file (-f)", _shown(size, bytes_=True), _less(size >= 0), mend)
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    mend = "" if space < 0 else "all memory shared counts in each process: ulimit -v unlimited"
    yield Finding("limits", "address space (-v)", _shown(space, bytes_=True), _less(space >= 0), mend)


def _extras() -> Iterator[Finding]:
    for package, (extra, purpose) in EXTRAS.items():
        try:
            yield Finding("extras", package, f"{importlib.metadata.version(package)}: {purpose}")
        except importlib.metadata.PackageNotFoundError:
            if package != "backports.zstd" or sys.version_info < (3, 14):
                yield Finding("extras", package, purpose, MISSING, f"pip install 'procession[{extra}]'")


def _environment() -> Iterator[Finding]:
    found = [name for name in os.environ if name.startswith("PROCESSION_")]
    for name in sorted(found):
        mend = _mend_variable(name)
        yield Finding("environment", name, os.environ[name], BROKEN if mend else OK, mend)
    if not found:
        yield Finding("environment", "PROCESSION_…", "none is set")


def _mend_variable(name: str) -> str:
    """What is wrong with a variable; nothing if it is known and its value can be read."""
    if name not in VARIABLES:
        near = difflib.get_close_matches(name, VARIABLES, 1)
        return f"there is no such variable{f'; {near[0]} was meant?' if near else ''}"
    try:
        if (read := VARIABLES[name]) is not None:
            read()
    except ValueError as error:
        return str(error)
    return ""


def _shown(limit: int, *, bytes_: bool = False) -> str:
    if limit == resource.RLIM_INFINITY:
        return "unlimited"
    return shown_size(limit) if bytes_ else str(limit)


def _of_groups(controller: str, unified: str, old: str) -> list[int]:
    """What the control groups of this process, and those above them, set as a limit: cgroup v2, or v1's controller."""
    found: list[int] = []
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", controller):
            continue
        mount, file = (f"sys/fs/cgroup/{controller}", old) if controllers else ("sys/fs/cgroup", unified)
        groups = _cpu._walk("/", mount, group, lambda _root, path: path)  # this group and those above it
        limits = [_read(f"/{path}/{file}") for path in groups]
        found.extend(int(text) for text in limits if text.isdigit())
    return found


def _read(path: str) -> str:
    return (_cpu._read("/", path) or "").strip()
