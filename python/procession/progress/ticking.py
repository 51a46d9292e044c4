"""The thread that tells meters to look where no caller waits: one for all, while there are any.

It is a daemon, so that it never holds up the end of the program, and is stopped before the interpreter takes its
streams away.
"""

from __future__ import annotations

import atexit
import os
import threading

from .screen import REDRAW_SECONDS

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable

    from .meters import Meter

__all__ = ["drive"]

_lock = threading.RLock()  # a signal's handler may begin something, too
_driven: dict[Meter, Callable[[], bool]] = {}
_thread: threading.Thread | None = None
_bell = threading.Event()  # the end of the program
TICK_S = REDRAW_SECONDS / 2  # so that what is due waits half as long at most


def drive(meter: Meter, look: Callable[[], bool] = lambda: True) -> None:
    """Have the meter told until it has ended. Before each time `look` is called, in the thread.

    When it returns False, or one of the two raises, the meter is stopped.
    """
    global _thread
    with _lock:
        _driven[meter] = look
        if _thread is None:
            _thread = threading.Thread(target=_tick, name="procession-progress", daemon=True)
            try:
                _thread.start()
            except RuntimeError:  # no thread is to be had: what the caller tells must do
                _thread = None
                _driven.clear()


def _tick() -> None:
    global _thread
    while True:
        for meter, look in list(_driven.items()):
            if not meter.ended and not _told(meter, look):
                meter.stop()
            if meter.ended:
                _driven.pop(meter, None)
        with _lock:
            if not _driven:
                _thread = None
                return
        _bell.wait(TICK_S)


def _told(meter: Meter, look: Callable[[], bool]) -> bool:
    try:
        if not look():
            return False
        meter.tell()
    except Exception:  # who waits for the result is told; the thread serves others, too
        return False
    return True


def _stop() -> None:
    """At exit: what was still going on is shown as it stopped."""
    thread = _thread
    for meter in list(_driven):
        meter.stop()
    _bell.set()
    if thread is not None:
        thread.join(1)


def _forget() -> None:
    """In a forked child: the thread is not there, and the meters are the parent's."""
    global _lock, _bell, _thread
    _lock, _bell, _thread = threading.RLock(), threading.Event(), None
    _driven.clear()


atexit.register(_stop)
os.register_at_fork(after_in_child=_forget)
