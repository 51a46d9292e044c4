"""Bars of other libraries, known by what they can do: tqdm's and whatever is like it, and rich's."""

from __future__ import annotations

from functools import partial

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["RichTask", "TqdmBar"]


class TqdmBar:
    """A class such as `tqdm`, or `functools.partial` of it: a bar of our own making, closed at the end.

    Or a bar that the caller made. If it has a total, it is the caller's affair, may go on to the next call, and is not
    closed; one without gets ours, and is.
    """

    own = False
    interval: float = 0.1  # it has its own view of how often it is to be drawn

    def __init__(self, given: Any) -> None:
        self._given = given
        self._done = 0
        self._failed = 0
        self._is_ours = isinstance(given, type | partial)
        self._bar: Any = None if self._is_ours else given

    def begin(self, now: Any) -> None:
        """As `Display`."""
        if self._bar is None:
            keywords = self._given.keywords if isinstance(self._given, partial) else {}
            self._bar = self._given() if "total" in keywords else self._given(total=now.total)
        elif getattr(self._bar, "total", None) is None:
            self._is_ours = True
            self._bar.total = now.total
            if callable(refresh := getattr(self._bar, "refresh", None)):
                refresh()

    def show(self, now: Any) -> None:
        """As `Display`."""
        if self._is_ours and now.total is not None and getattr(self._bar, "total", None) is None:
            self._bar.total = now.total
        if now.failed != self._failed and callable(postfix := getattr(self._bar, "set_postfix", None)):
            self._failed = now.failed
            postfix(failed=now.failed, refresh=False)
        if new := now.done - self._done:
            self._done = now.done
            self._bar.update(new)

    def end(self, now: Any, stopped: bool) -> None:
        """As `Display`."""
        try:
            self.show(now)
        finally:
            if self._is_ours:
                self._bar.close()


class RichTask:
    """A task of a `rich.progress.Progress`, which the caller has started."""

    own = False
    interval: float = 0.1

    def __init__(self, progress: Any) -> None:
        self._progress = progress

    def begin(self, now: Any) -> None:
        """As `Display`."""
        self._task = self._progress.add_task(now.title, total=now.total)

    def show(self, now: Any) -> None:
        """As `Display`."""
        self._progress.update(self._task, completed=now.done, total=now.total)

    def end(self, now: Any, stopped: bool) -> None:
        """As `Display`."""
        self.show(now)
        if stopped:
            self._progress.stop_task(self._task)
