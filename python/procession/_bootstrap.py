"""What a new process runs first, what its parent sends it for that, and the package's only at-fork hooks.

A child made by `spawn` or `forkserver` gets one memory file (see `_outcome`): behind its header, the standard library's
preparation data (sys.path, sys.argv, where the main module is) and the pickled process object. From then on
everything is the standard library's own `BaseProcess._bootstrap`, which sets `current_process()`, runs the after-fork
hooks, the finalizers and the exit function, and prints the traceback.

Unlike the standard library no resource tracker (a whole interpreter) is started for that: nothing here has a name that
would outlive a crash. If the parent already runs one, for standard semaphores or shared memory, children inherit it.

A process's death is watched through a pidfd, which nobody else can keep open by accident: with the standard library's
pipes, a grandchild that inherited the descriptor makes its dead parent look alive. Where the kernel has no pidfd, pipes
serve as before.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from multiprocessing import process, util

from . import _standard
from ._interrupts import let_end
from ._outcome import Outcome

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = [
    "Family",
    "Inherited",
    "at_fork_in_child",
    "end_with_parent",
    "exit_child",
    "fallback_path",
    "has_pidfd",
    "lifeline",
    "own_sentinel",
    "pidfd_open",
    "preparation_data",
    "prepare",
    "run_child",
    "spawn_main",
    "tracker_fd",
]

# At fork

_hooks: list[Callable[[], None]] = []


def at_fork_in_child(hook: Callable[[], None]) -> None:
    """Run `hook` in every child that Python forks, in the order of registration; for the life of the program."""
    _hooks.append(hook)


def _after_fork_in_child() -> None:
    for hook in _hooks:
        hook()


os.register_at_fork(after_in_child=_after_fork_in_child)


# Descriptors that tell of a death


def pidfd_open(pid: int) -> int | None:
    """A descriptor that becomes readable when process `pid` ends; None where the kernel has no such thing.

    Raises: OSError when descriptors run out, ProcessLookupError when there is no such process.
    """
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except PermissionError:
        return None  # a sandbox's answer to an unknown system call
    except OSError as error:
        import errno

        if error.errno in (errno.ENOSYS, errno.EINVAL):
            return None
        raise


class _OwnSentinel:
    """The descriptor that tells children of this process's death: opened once per process, inherited by them.

    It is a pidfd, or the read end of a pipe whose write end only this process and its forked children hold.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.fd = -1
        self.kept_open = -1
        self.exact = False  # whether it is a pidfd

    def get(self) -> int:
        if self.pid != os.getpid():
            fd = pidfd_open(os.getpid())
            self.exact = fd is not None
            if fd is None:
                fd, self.kept_open = os.pipe()
            self.pid, self.fd = os.getpid(), fd
        return self.fd

    def after_fork(self) -> None:
        """In a child the descriptor belongs to the parent; the write end of the pipe must not stay open here."""
        if self.kept_open >= 0:
            os.close(self.kept_open)
            self.kept_open = -1


_own_sentinel = _OwnSentinel()
at_fork_in_child(_own_sentinel.after_fork)


def own_sentinel() -> int:
    """The descriptor that becomes readable when this process ends; for its children to inherit. Never closed."""
    return _own_sentinel.get()


def has_pidfd() -> bool:
    """Whether this kernel can tell of a death by pidfd."""
    _own_sentinel.get()
    return _own_sentinel.exact


# Ending with the parent


@contextmanager
def lifeline() -> Iterator[int]:
    """The descriptor by which one child ends with this process: inherited by it, closed here; see `end_with_parent`.

    Raises: OSError when descriptors run out.
    """
    from . import _native

    fd = _native.lifeline()
    try:
        yield fd
    finally:
        os.close(fd)


def end_with_parent(lifeline: int) -> None:
    """Let the kernel end this process when its parent ends, however that does. Keeps the descriptor.

    SIGTERM comes after 0.2 seconds, SIGKILL after 0.5. Children of this process hear of it at once, as it does.
    """
    from . import _native

    _native.end_with_parent(lifeline)


# What the parent sends


def preparation_data(name: str, method: str) -> dict[str, Any]:
    """The standard library's description of this program for a new interpreter.

    Leaves the standard library's own default start method as undecided as it was. A main module without a file, or
    read from standard input, is left out: the child cannot import it.

    Raises: NotGuarded in a process that is still importing its parent's main module.
    """
    from multiprocessing import spawn

    from ._main_guard import refuse_unguarded

    refuse_unguarded()
    default = _standard.default_context
    decided = default._actual_context
    try:
        data = spawn.get_preparation_data(name)
    finally:
        default._actual_context = decided
    data["start_method"] = method
    data["installer"] = _standard.installer
    data["check"] = os.environ.get("PROCESSION_CHECK")
    path = data.get("init_main_from_path")
    if path is not None and not os.path.exists(path):
        del data["init_main_from_path"]
    return data


def tracker_fd() -> int | None:
    """The descriptor of the standard library's resource tracker if this program already runs one."""
    tracker: Any = sys.modules.get("multiprocessing.resource_tracker")
    return None if tracker is None else tracker._resource_tracker._fd


def fallback_path() -> str:
    """The directory this package lies in, for children whose `sys.path` does not lead to it from the start."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# What the child runs


def run_child(outcome: Outcome, parent_sentinel: int) -> int:
    """Read what to run from the outcome's file, run it, return the exit code.

    Whatever fails before the target runs (an import, an unpickling) becomes the outcome as well, and is raised.
    """
    import pickle

    current: Any = process.current_process()
    current._inheriting = True
    name, wires = "a new process", None
    try:
        with outcome.open("rb") as file:
            data = pickle.load(file)
            name, wires = data["name"], data.pop("output")
            if wires is not None:
                wires.attach()  # before anything else may print
            if data["hears_interrupts"]:
                let_end()
            prepare(data)
            if not isinstance(_standard.family, Exception | None):
                _standard.family.introduce(name.encode(errors="replace").decode())
            runnable = pickle.load(file)
    except Exception as error:
        from ._blame import advice_on_missing

        advice = advice_on_missing(error)
        outcome.write_exception(_explain(error, name, advice), name)
        if advice:
            error.add_note(advice)
        raise
    finally:
        del current._inheriting
    runnable._outcome, runnable._wires = outcome, wires
    return int(runnable._bootstrap(parent_sentinel))


class Inherited:
    """A descriptor on its way into a new interpreter, where it has the same number.

    It is here because the child unpickles one in any case, and need not load the module of its parent's engine for it.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def detach(self) -> int:
        """Return the descriptor in the child."""
        return self.fd


class Family:
    """The parent's shared arena on its way: who unpickles this is in it, and can be seen there from outside.

    What else is pickled for the child then need not bring a descriptor of its own (`_store.reduce_arena`).
    """

    def __init__(self, duplicate: Any, token: bytes) -> None:
        self.duplicate, self.token = duplicate, token

    def __reduce__(self) -> Any:
        return _join_family, (self.duplicate, self.token)


def _join_family(duplicate: Any, token: bytes) -> None:
    """Without `_store`, which costs a child of a fork server more than all the rest of its start."""
    from . import _native

    descriptor = duplicate.detach()
    try:
        _standard.family = _native.Arena.attach(descriptor, token)
    except Exception as error:  # no place is left in it, say: who needs it is told so
        _standard.family = error
    finally:
        os.close(descriptor)


def prepare(data: dict[str, Any]) -> None:
    """Make this process look like its parent: what is installed, names, paths, directory, logging, the main module."""
    _follow_installation(data.get("installer", _standard.installer))
    if data.get("check"):
        _follow_check(data["check"])
    from multiprocessing import spawn

    path = data.get("init_main_from_path")
    if path is not None and path.endswith(".py") and os.path.isfile(path):
        data = {key: value for key, value in data.items() if key != "init_main_from_path"}
        spawn.prepare(data)
        _import_main(path)
    else:
        spawn.prepare(data)


def _follow_installation(wanted: str | None) -> None:
    """Put this package in the place of multiprocessing if the parent has; a fork server may be older than that."""
    name = wanted or _standard.installer
    if name is not None and wanted != _standard.installer:
        __import__(name)
        module: Any = sys.modules[name]
        module.install() if wanted else module.uninstall()


def _follow_check(directory: str) -> None:
    """The parent is run by `procession check`: so is this process. A fork server may be of another such run."""
    __import__("procession.check.beginning")
    sys.modules["procession.check.beginning"].begin(directory)


def _import_main(path: str) -> None:
    """Run the parent's script under the name `__mp_main__`, unless a fork server has done so already.

    What the standard library does through `runpy`, whose imports cost a tenth of a child's start; and the module's
    functions see the module's own globals, not a copy.
    """
    from multiprocessing import spawn

    if getattr(sys.modules["__main__"], "__file__", None) == path or os.path.basename(path) == "ipython.py":
        return  # (old launchers of IPython have no guard; the standard library leaves them out too)
    module = type(sys)("__mp_main__")
    module.__file__ = path
    module.__dict__.update(__package__="", __cached__=None)
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    before = {name: sys.modules.get(name) for name in ("__main__", "__mp_main__")}
    argument, sys.argv[0] = sys.argv[0], path
    sys.modules["__mp_main__"] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        sys.modules.update((name, old) for name, old in before.items() if old is not None)
        raise
    finally:
        sys.argv[0] = argument
    spawn.old_main_modules.append(sys.modules["__main__"])  # keep it alive, as they do
    sys.modules["__main__"] = module


def _explain(error: Exception, name: str, advice: str) -> Exception:
    """The error a caller of `result` gets when the child failed before its target could run."""
    from .errors import ProcessionError, RemoteError

    if isinstance(error, ProcessionError):
        return error
    message = f"{name} could not import the main module or rebuild its target there: {type(error).__name__}: {error}"
    if advice:
        message += f" ({advice})"
    explained = RemoteError(message, name=name, pid=os.getpid(), exitcode=1)
    explained.__cause__ = error
    return explained


def adopt_tracker(fd: int | None) -> None:
    """Let standard semaphores and shared memory made here report to the tracker the parent runs."""
    if fd is not None:
        from multiprocessing import resource_tracker

        tracker: Any = resource_tracker._resource_tracker
        tracker._fd = fd


def spawn_main(fd: int, parent_sentinel: int, lifeline: int, tracker: int | None = None) -> None:
    """The whole life of a spawned child, ending in `exit_child`."""
    end_with_parent(lifeline)
    for inherited in (fd, parent_sentinel, lifeline):
        os.set_inheritable(inherited, False)
    adopt_tracker(tracker)
    code = 1
    try:
        code = run_child(Outcome(fd), parent_sentinel)
    except SystemExit:
        raise
    except BaseException:
        sys.excepthook(*sys.exc_info())
    exit_child(code)


def exit_child(code: int) -> None:
    """Run the exit handlers, flush, and leave without tearing the interpreter down, as forked children always did.

    Saves some milliseconds; `BaseProcess._bootstrap` has already joined threads and run finalizers.
    """
    import atexit

    try:
        atexit._run_exitfuncs()
        util._flush_std_streams()  # type: ignore[attr-defined]
    finally:
        os._exit(code)
