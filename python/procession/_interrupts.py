"""When a process hears Ctrl-C.

An interrupt from a terminal goes to every process at once. One of them, the program, shall print a traceback. In a
child KeyboardInterrupt is raised while its target runs, so that it can put things in order, and nowhere else: a child
that is only beginning, or done, ends without a word. And in the parent none is raised half-way through starting a
process, which would leave a child that nobody knows of.

So a parent holds SIGINT back while it starts a child (its mask is inherited, by new interpreters as well), and the
child lets it come when it is ready. When an interrupt is what ends the program, a second one does not wait for the
children, which then end with it. The signal's action is touched only where it is Python's own.
"""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Held", "Ignored", "force_at_exit", "is_pending", "let_end", "let_raise", "note", "was_interrupted"]

_INTERRUPT = {signal.SIGINT}


class Held:
    """Holds Ctrl-C back in this thread until the end of a block; gives True if it was not held back before.

    If other threads run, the system may give it to one of them; Python then raises it here after all.
    """

    def __enter__(self) -> bool:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
        return signal.SIGINT not in self._before

    def __exit__(self, *exception: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def is_pending() -> bool:
    """Whether Ctrl-C is being held back."""
    return signal.SIGINT in signal.sigpending()


def let_end() -> None:
    """In a child that is beginning, maybe with long imports, or done: let an interrupt end it without a word."""
    _replace(signal.default_int_handler, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)


def let_raise() -> None:
    """In a child whose target is about to run: let interrupts come, one that is waiting at once."""
    _replace(signal.SIG_DFL, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)


class Ignored:
    """After an interrupt: no further ones in a block, which does what they ask for."""

    def __enter__(self) -> None:
        _replace(signal.default_int_handler, signal.SIG_IGN)

    def __exit__(self, *exception: object) -> None:
        _replace(signal.SIG_IGN, signal.default_int_handler)


_noted = False


def note() -> None:
    """In a child: KeyboardInterrupt ended the target."""
    global _noted
    _noted = True


def was_interrupted() -> bool:
    """Whether KeyboardInterrupt is what ends this process."""
    return _noted or (getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"))


def force_at_exit() -> None:
    """Let a second Ctrl-C end the program at once if one is what ends it; children end with it."""
    import threading

    if not _forced:
        _forced.append(True)
        try:  # noqa: SIM105  (contextlib need not be imported for this)
            threading._register_atexit(_force)  # type: ignore[attr-defined]
        except RuntimeError:
            pass  # the interpreter is ending


def _force() -> None:
    if was_interrupted():
        let_end()


_forced: list[bool] = []


def _replace(before: Any, after: Any) -> None:
    if signal.getsignal(signal.SIGINT) == before:
        try:  # noqa: SIM105
            signal.signal(signal.SIGINT, after)
        except ValueError:
            pass  # only the main thread may
