"""Process and Thread: work that runs beside this code, with a name, an exit code and a result.

A process is the standard library's own (`multiprocessing.process.BaseProcess`), so `current_process()`, logging and
every other reader of it know ours; only how it is started (see `_engines`) and `result` are new. The tables of that
module (`_children`, `_dangling` and so on) are the same here.

A process ends when its parent does, however that ends: `kill -9` leaves no orphans. (A parent that reaches its end
waits for its children first, and ends those that are daemonic.) So a daemonic process may have children, too: as a rule
it is killed by its parent's exit, with no moment left to see to them. How it is done is told in
`crates/core/src/sys/lifeline.rs`.
"""

from __future__ import annotations

import multiprocessing.context
import os
import signal
import sys
from multiprocessing import process as _standard

from ._interrupts import Held, Ignored, force_at_exit, is_pending, let_end, let_raise, note
from ._outcome import NOTHING, RAISED, UNFINISHED
from ._threads import Thread, ThreadProcess, active_threads
from ._variables import switched
from ._waits import join_process

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Final

    from ._outcome import Outcome
    from ._output import ForwardOutput
    from ._output.source import Source
    from ._output.wires import Wires

__all__ = [
    "BaseProcess",
    "ForkProcess",
    "ForkServerProcess",
    "ProcessWithResult",
    "SpawnProcess",
    "Thread",
    "ThreadProcess",
    "active_children",
    "active_threads",
    "current_process",
    "on_start_in_child",
    "parent_process",
]

# The standard library's own
BaseProcess = _standard.BaseProcess
active_children: Final = _standard.active_children
current_process: Final = _standard.current_process
parent_process: Final = _standard.parent_process


def __getattr__(name: str) -> Any:
    """What else the standard module has, as it is now: some of its variables are bound anew in a child."""
    try:
        return getattr(_standard, name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


NAME, EXIT, STARTED = 2, 3, 4  # see crates/core/src/recorder.rs

_FORWARD = "PROCESSION_FORWARD_OUTPUT"  # `_output.VARIABLE`, which is not loaded to look
_start_hooks: list[Callable[[str | None], None]] = []


def on_start_in_child(hook: Callable[[str | None], None]) -> None:
    """Call `hook` in every process started from here, before its target, with the start method it was given."""
    _start_hooks.append(hook)


class ProcessWithResult(BaseProcess):
    """A process whose target's return value or exception comes back to its parent.

    When the process dies, nothing of the parent is harmed: `result` raises `WorkerDied`, `join` returns.
    """

    _outcome: Outcome | None = None  # in the child only: where to write
    _lifeline: int | None = None  # its parent's; only in a child forked where the kernel has no pidfd
    _hears_interrupts = False  # in the child: unless they were blocked where it was started
    _answer: tuple[int, Any] | None = None  # in the parent only: what was read
    _forward: ForwardOutput = None  # what becomes of its output
    _wires: Wires | None = None  # in the child, and while it is started: what its output goes into, if forwarded
    _source: Source | None = None  # in the parent only: where that comes from
    _popen: Any

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] = {},
        *,
        daemon: bool | None = None,
        forward_output: ForwardOutput = None,
    ) -> None:
        """As the standard one. `forward_output`: see `output`.

        Raises: TypeError for what that cannot be, and for a target that cannot be called.
        """
        if target is not None and not callable(target):
            raise TypeError(f"target must be a function, not {target!r}: pass target=f, not its result, target=f()")
        super().__init__(group, target, name, args, kwargs, daemon=daemon)
        if forward_output is not None:
            from ._output import wanted

            self._forward = wanted(forward_output)

    def run(self) -> Any:
        """Call the target; subclasses may override this. What it returns is the result. Runs in the child."""
        if self._target:  # type: ignore[attr-defined]
            return self._target(*self._args, **self._kwargs)  # type: ignore[attr-defined]
        return None

    def start(self) -> None:
        """Start the process; returns at once. It ends when this process does. Ctrl-C is raised when it has started.

        Raises: AssertionError when it was started before, or made by another process; ValueError after `close`;
        PicklingError naming the argument that cannot be sent (spawn, forkserver); OSError when processes run out.
        """
        current: Any = current_process()
        force_at_exit()
        _begin_family()
        forward = self._forwards()
        with Held() as self._hears_interrupts:
            if forward:
                from ._output import forwarding

                with forwarding(self, forward):
                    _start_in_daemon(self) if current.daemon else super().start()
            elif current.daemon:
                _start_in_daemon(self)
            else:
                super().start()
            _note_start(self)
            if self._hears_interrupts and is_pending():
                self.interrupt()  # that Ctrl-C may have come before there was a child to get it

    def _forwards(self) -> Any:
        """What becomes of its output, before it is started."""
        given = self._forward
        if given is not None:
            return given
        # A look-up would raise and catch a KeyError, and Ctrl-C in the middle of one shows both.
        return _FORWARD in tuple(os.environ) and bool(switched(_FORWARD))

    @property
    def output(self) -> tuple[str, ...]:
        """The last 200 lines that the process has printed and logged so far, of standard output and error together.

        Only with `forward_output=True` (or a function, which is called with each line, see docs/guides/output.md):
        then its lines are printed by this process, with its name in front. Else nothing is known, and this is empty.
        """
        return () if self._source is None else self._source.tail

    def interrupt(self) -> None:
        """Send SIGINT, which raises KeyboardInterrupt in the process's main thread. Does nothing if it has ended."""
        self._check_closed()  # type: ignore[attr-defined]
        self._popen._send_signal(signal.SIGINT)

    def join(self, timeout: float | None = None) -> None:
        """Block until the process ends, or for `timeout` seconds. Its death, however caused, wakes this."""
        if self._popen is None or self._popen.returncode is not None:
            super().join(timeout)
        else:
            join_process(super().join, self._popen, timeout)
        popen = self._popen
        if popen is not None and popen.returncode is not None:
            if self._source is not None:
                from ._output import finish

                finish(self._source)
            if self._answer is None:
                self._settle(popen.outcome)

    def result(self, timeout: float | None = None) -> Any:
        """Return what the target returned, or raise what it raised, with the child's traceback as `__cause__`.

        Blocks until the process has ended (its death wakes this) or for `timeout` seconds. May be asked again: the
        same object is kept until `close`. A target that left through `sys.exit()` with code 0 or None gives None.

        Raises: TimeoutError when it still runs; WorkerDied when it ended without an answer (`os._exit`, a signal,
        `sys.exit(3)`); ResultUnpicklable when the answer could not be pickled; UnpicklingError when it cannot be
        rebuilt here; ValueError after `close`; AssertionError before `start` or from another process.
        """
        self._check_closed()  # type: ignore[attr-defined]
        assert self._popen is not None or self._parent_pid != os.getpid(), (  # type: ignore[attr-defined]
            f"{self.name} has no result, because it was never started: call start() first"
        )
        self.join(timeout)
        popen = self._popen
        if popen.returncode is None:
            from .errors import TimeoutError

            raise TimeoutError(f"{self.name} (pid {popen.pid}) has given no result within {timeout} seconds")
        if self._answer is None:
            self._answer = self._read(popen.outcome)
        kind, contents = self._answer
        if kind == RAISED:
            _raise_remote(*contents)
        if kind == UNFINISHED:
            from .errors import WorkerDied

            raise WorkerDied.of(self.name, popen.pid, popen.returncode, output=self.output)
        return contents

    async def wait_async(self, timeout: float | None = None) -> int | None:
        """In asyncio: wait for the end without blocking the loop, or for `timeout` seconds.

        Returns the exit code, None if it still runs.
        """
        from ._waiting import process_wait

        return await process_wait(self, timeout)

    async def result_async(self, timeout: float | None = None) -> Any:
        """In asyncio: as `result`, without blocking the loop."""
        from ._waiting import process_result

        return await process_result(self, timeout)

    def close(self) -> None:
        """Forget the result and give back the descriptors. Raises: ValueError while the process runs."""
        super().close()
        self._answer = None

    def _settle(self, outcome: Outcome) -> None:
        """Free the descriptor at once if there is nothing to read, as for most processes."""
        if outcome.fd >= 0 and (kind := outcome.kind()) in (UNFINISHED, NOTHING):
            self._answer = kind, None
            outcome.close()

    def _read(self, outcome: Outcome) -> tuple[int, Any]:
        try:
            answer = outcome.load()
        except Exception as error:
            from .errors import UnpicklingError

            raise UnpicklingError(
                f"the result of {self.name} arrived, but cannot be rebuilt here: {type(error).__name__}: {error}"
            ) from error
        outcome.close()
        return answer

    def _bootstrap(self, parent_sentinel: int | None = None) -> int:
        """In the child: run as the standard library does, and note down how the target ended."""
        if self._lifeline is not None:
            from ._bootstrap import end_with_parent

            end_with_parent(self._lifeline)
        native: Any = sys.modules.get("procession._native")
        is_recorded = native is not None and native.recording()
        if is_recorded:
            native.record(NAME, label=self._name)  # type: ignore[attr-defined]
        for hook in _start_hooks:
            hook(self._start_method)  # type: ignore[attr-defined]
        if self._wires is not None:
            self._wires.attach()
        outcome = self._outcome
        if outcome is not None:
            self.__dict__["run"] = _Recorded(self.run, outcome, self.name, self._hears_interrupts)
        code: int = super()._bootstrap(parent_sentinel)  # type: ignore[misc]
        if is_recorded:
            native.record(EXIT, 0, code, label="")
        return code

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_outcome", "_forward", "_wires", "_source"):
            state.pop(name, None)
        return state


def _begin_family() -> None:
    """See to it that there is a shared arena before there is a child: in it both can be seen from outside."""
    from contextlib import suppress

    from ._store import shared_arena

    with suppress(OSError):  # no descriptor left, say: then the start will tell
        shared_arena()


def _note_start(process: Any) -> None:
    """For the timeline: this process has started another one."""
    native: Any = sys.modules.get("procession._native")
    if native is not None and native.recording():
        native.record(STARTED, 0, process._popen.pid, name=process._name)


def _start_in_daemon(process: Any) -> None:
    """What the standard `start` does, without its refusal to do so in a daemonic process."""
    process._check_closed()
    assert process._popen is None, "cannot start a process twice"
    assert process._parent_pid == os.getpid(), "can only start a process object created by current process"
    _standard._cleanup()  # type: ignore[attr-defined]
    process._popen = process._Popen(process)
    process._sentinel = process._popen.sentinel
    del process._target, process._args, process._kwargs  # they may refer to the process
    _standard._children.add(process)  # type: ignore[attr-defined]


class _Recorded:
    """A process's `run` that leaves its outcome behind before it returns or raises."""

    def __init__(self, run: Callable[[], Any], outcome: Outcome, name: str, hears_interrupts: bool) -> None:
        self._run, self._outcome, self._name = run, outcome, name
        self._hears_interrupts = hears_interrupts

    def __call__(self) -> None:
        try:
            self._call()
        except KeyboardInterrupt:  # without a traceback: an interrupt reaches the parent too, which prints one
            note()
            self._silence()
            raise SystemExit(1) from None

    def _call(self) -> None:
        try:
            if self._hears_interrupts:
                let_raise()
            value = self._run()
        except BaseException as error:
            with Ignored():
                self._note(error)
            self._silence()
            raise
        self._silence()
        self._outcome.write_value(value, self._name)

    def _note(self, error: BaseException) -> None:
        if not isinstance(error, SystemExit):
            self._outcome.write_exception(error, self._name)
        elif error.code is None or error.code == 0:
            self._outcome.write_nothing()

    def _silence(self) -> None:
        if self._hears_interrupts:
            let_end()


def _raise_remote(error: BaseException, text: str) -> None:
    from .errors import RemoteTraceback

    raise error from RemoteTraceback(text)


class ForkProcess(ProcessWithResult, multiprocessing.context.ForkProcess):
    """A process that begins as a copy of its parent."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from ._engines.fork import Popen

        return Popen(process_obj)


class SpawnProcess(ProcessWithResult, multiprocessing.context.SpawnProcess):
    """A process in a fresh interpreter. Its target and arguments are pickled by `start`."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from ._engines.spawn import Popen

        return Popen(process_obj)


class ForkServerProcess(ProcessWithResult, multiprocessing.context.ForkServerProcess):
    """A process forked from a small server that has the program's imports ready. Pickled as for spawn."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        from ._engines.forkserver import Popen

        return Popen(process_obj)
