"""Run a process object in a thread of this process: what `Process` does while the start method is 'thread'.

The object that the caller holds stays as it is; a copy of it runs, as it would in a child. So what `run` sets on itself
is not seen outside, whichever the start method, and both may be used at once. The thread is one of `_threads`.
"""

from __future__ import annotations

import os

from .._outcome import NOTHING, RAISED, UNFINISHED, VALUE
from .._threads import ThreadProcess

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Popen"]


class Popen:
    """The handle of a running thread, for the process object that it runs."""

    method = "thread"

    def __init__(self, process_obj: Any) -> None:
        twin = object.__new__(type(process_obj))
        twin.__dict__.update(process_obj.__dict__)
        self._thread = ThreadProcess(target=twin.run, name=process_obj.name, daemon=process_obj.daemon)
        self._thread.start()
        self.pid = os.getpid()
        self.sentinel = self._thread.sentinel
        self.outcome = _Outcome(self._thread)

    @property
    def returncode(self) -> int | None:
        """None while it runs; 0 after it returned, 1 after an exception, n after `sys.exit(n)`."""
        return self._thread.exitcode

    def poll(self) -> int | None:
        """As `returncode`."""
        return self._thread.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Block until the thread ends, or for `timeout` seconds; return as `poll` does."""
        self._thread.join(timeout)
        return self._thread.exitcode

    def terminate(self) -> None:
        """Do nothing if the thread has ended. Raises: NotSupported while it runs."""
        self._thread.terminate()

    kill = terminate

    def _send_signal(self, _: int) -> None:
        self._thread.terminate()

    def close(self) -> None:
        """Forget the result, give the descriptor back. Raises: ValueError while the thread runs."""
        if self._thread.exitcode is not None:
            self._thread.join()  # a moment: it has said that it is done, and is on its way out
        self._thread.close()


class _Outcome:
    """The end of a thread, read as that of a process is."""

    fd = -1  # nothing to give back

    def __init__(self, thread: ThreadProcess) -> None:
        self._thread = thread

    def kind(self) -> int:
        """What is there, as one of the constants of `_outcome`."""
        return self.load()[0]

    def load(self) -> tuple[int, Any]:
        """Kind and contents."""
        error = self._thread._error
        if error is None:
            return VALUE if self._thread._finished else UNFINISHED, self._thread._value
        if isinstance(error, SystemExit):
            return NOTHING if self._thread.exitcode == 0 else UNFINISHED, None
        import traceback

        return RAISED, (error, "".join(traceback.format_exception(error)))

    def close(self) -> None:
        """Nothing to do: the thread object holds it all."""
