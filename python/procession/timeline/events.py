"""From records to the events of Chrome's trace format, one at a time.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU (Google's own description).
Perfetto and chrome://tracing show each process as a group, each thread as a track. Of ours there are

* a slice for each process's life, on its main thread's track; what it did lies within;
* a slice for each task, with an arrow from where it was handed in (the first `_MOST_ARROWS` tasks);
* a slice for each wait, in a category of its own;
* counters: memory, and the tasks that no worker has begun.

What did not end, because its process was killed, ends with that, and says so.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .. import _recording
from .._recording import ACTIONS, SUBMITTED, TASK, TASK_DONE, WAIT, WAIT_DONE, WORKER, Recording
from .lives import Life, lives
from .samples import Sample, samples

__all__ = ["Event", "Run"]

Event = dict[str, Any]

_MOST_ARROWS = 20_000
_AT_ONCE = 100_000_000  # nanoseconds; between slices nothing is done, but a busy machine may keep a thread from its CPU
_BINS = 2_000  # of the counter of waiting tasks, at most


def _unnamed(action: str, object_: int, detail: int) -> str:
    """What is waited for and is no object of an arena."""
    if action == "join":
        return f"thread {detail}" if detail else f"process {object_}"
    return "queue of a process's own" if detail else f"object {object_}"


def _goes_on(first: tuple[int, ...], last: tuple[int, ...], now: tuple[int, ...]) -> bool:
    """Whether a wait is what is left of one that timed out: for the same thing, at the same place, and at once."""
    return first[5:9] == now[5:9] and now[0] - last[0] < _AT_ONCE


class Run:
    """A recording as a trace."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Raises: NotARecording."""
        self.recording: Recording = Recording(directory)
        self.lives: list[Life] = lives(self.recording)
        self.samples: list[Sample] = list(samples(directory))
        self._origin: int = min([self.recording.created, *(life.began for life in self.lives)])
        self._arrows = 0
        self._arrived: set[str] = set()
        self._waiting: dict[int, Counter[int]] = {}  # by process that hands in: changes of how many wait, by bin
        ends = [life.ended for life in self.lives]
        self.duration: int = max([self._origin, *ends, *(sample.time for sample in self.samples)]) - self._origin

    @property
    def about(self) -> dict[str, Any]:
        """What is told of the run as a whole."""
        recording = self.recording
        told = {
            "recorded by": "procession",
            "began": (recording.created_1970 + self._origin - recording.created) / 1e9,  # seconds since 1970
            "seconds": self.duration / 1e9,
            "processes": len(self.lives),
            "shortfall": recording.shortfall(),
        }
        command = recording.directory / "command"
        if command.exists():
            told["command"] = command.read_text(errors="replace")
        return told

    def us(self, time: int) -> float:
        """Microseconds since the beginning, as the format has them."""
        return (time - self._origin) / 1000

    def events(self) -> Iterator[Event]:
        """All events; those that name tracks come first."""
        for place, life in enumerate(self.lives):
            yield from self._names(life, place)
        for life in self.lives:
            yield from self._life(life)
            yield from self._of_process(life)
        yield from self._memory()
        yield from self._backlog()

    def _names(self, life: Life, place: int) -> Iterator[Event]:
        def meta(kind: str, thread: int, **args: Any) -> Event:
            return {"ph": "M", "name": kind, "pid": life.key, "tid": thread, "args": args}

        yield meta("process_name", life.pid, name=life.name or f"process {life.pid}")
        yield meta("process_labels", life.pid, labels=life.end)
        yield meta("process_sort_index", life.pid, sort_index=place)
        for thread, name in life.threads.items():
            name = name or ("MainThread" if thread == life.pid else f"thread {thread}")
            yield meta("thread_name", thread, name=name)

    def _slice(self, life: Life, thread: int, cat: str, name: str, began: int, ended: int, args: Event) -> Event:
        span = {"ts": self.us(began), "dur": max(ended - began, 0) / 1000}
        return {"ph": "X", "cat": cat, "name": name, "pid": life.key, "tid": thread, **span, "args": args}

    def _life(self, life: Life) -> Iterator[Event]:
        args: Event = {"pid": life.pid, "parent": life.parent, "end": life.end}
        if life.exitcode is not None:
            args["exitcode"] = life.exitcode
        if life.started_at:
            args["started at"] = life.started_at
        name = life.name or f"process {life.pid}"
        yield self._slice(life, life.pid, "process", name, life.began, life.ended, args)
        if not life.reached_end:
            at = {"ts": self.us(life.ended), "pid": life.key, "tid": life.pid}
            yield {"ph": "i", "s": "p", "cat": "process", "name": life.end, **at}

    def _of_process(self, life: Life) -> Iterator[Event]:
        """Tasks and waits of one process, each when it ended."""
        open_: dict[int, list[tuple[int, ...]]] = {}  # by thread: what has begun, outermost first
        vain: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}  # by thread: the wait that has just timed out
        for record in life.file.raw():
            kind, thread = record[3], record[2]
            before = vain.pop(thread, None)
            if before is not None and kind == WAIT and _goes_on(*before, record):
                open_.setdefault(thread, []).append(before[0])  # a wait in slices is one
                continue
            if before is not None:
                yield from self._span(life, before[0], before[1][0], before[1])
            if kind in (TASK, WAIT):
                open_.setdefault(thread, []).append(record)
            elif kind in (TASK_DONE, WAIT_DONE):
                begun = open_.get(thread, [])
                wanted = TASK if kind == TASK_DONE else WAIT
                while begun:
                    first = begun.pop()
                    if first[3] != wanted:
                        yield from self._span(life, first, record[0], None)
                    elif kind == WAIT_DONE and record[11]:
                        vain[thread] = first, record
                        break
                    else:
                        yield from self._span(life, first, record[0], record)
                        break
            elif kind == SUBMITTED:
                yield from self._submitted(life, record)
            elif kind == WORKER:
                at = {"ts": self.us(record[0]), "pid": life.key, "tid": thread, "args": {"pool": record[5]}}
                yield {"ph": "i", "s": "t", "cat": "worker", "name": "ready for tasks", **at}
        for first, last in vain.values():
            yield from self._span(life, first, last[0], last)
        for begun in open_.values():
            for first in begun:
                yield from self._span(life, first, max(life.ended, first[0]), None)

    def _span(self, life: Life, first: tuple[int, ...], ended: int, last: tuple[int, ...] | None) -> Iterator[Event]:
        began, _, thread, kind, _, object_, a, b, site, _, _, extra = first
        if kind == TASK:
            args: Event = {"task": a, "pool": object_}
            if b:
                args["items"] = b
            if last is None:
                args["unfinished"] = True
            elif last[7]:
                args["failed"] = last[7]
            yield self._slice(life, thread, "task", life.file.label(site) or "task", began, ended, args)
            yield from self._arrow(life, first)
            return
        action = ACTIONS[a] if a < len(ACTIONS) else "wait"
        what = life.file.label(extra) or _unnamed(action, object_, b)
        args = {"action": action, "object": what, "at": life.file.label(site)}
        if last is None:
            args["unfinished"] = True
        elif last[11]:
            args["in vain"] = True  # its time was over
        yield self._slice(life, thread, "wait", f"{action}: {what}", began, ended, args)

    @staticmethod
    def _arrow_id(record: tuple[int, ...], number: int, pid: int) -> str:
        """Names a task in the whole run: its ring (one of a process's own by that) and its number."""
        private = f"{pid:x}-" if record[4] & _recording.PRIVATE else ""
        return f"{private}{record[5]:x}-{record[11]:x}-{number}"

    def _submitted(self, life: Life, record: tuple[int, ...]) -> Iterator[Event]:
        time, _, thread, _, _, object_, first, count, site = record[:9]
        where = life.file.label(site)
        args = {"tasks": count, "pool": object_, "at": where}
        yield self._slice(life, thread, "submit", f"submit {count} task{'s' * (count != 1)}", time, time + 1000, args)
        for number in range(first, first + min(count, _MOST_ARROWS - self._arrows)):
            self._arrows += 1
            at = {"ts": self.us(time), "pid": life.key, "tid": thread}
            yield {"ph": "s", "cat": "task", "name": "task", "id": self._arrow_id(record, number, life.key), **at}
        self._changed(life.key, time, count)

    def _arrow(self, life: Life, record: tuple[int, ...]) -> Iterator[Event]:
        if record[6] < _MOST_ARROWS:
            at = {"ts": self.us(record[0]), "pid": life.key, "tid": record[2]}
            ident = self._arrow_id(record, record[6], life.key)
            yield {"ph": "f", "bp": "e", "cat": "task", "name": "task", "id": ident, **at}
        self._changed(0, record[0], -1)

    # Counters

    def _changed(self, pid: int, time: int, change: int) -> None:
        width = max(self.duration // _BINS, 1)
        self._waiting.setdefault(pid, Counter())[(time - self._origin) // width] += change

    def _memory(self) -> Iterator[Event]:
        keys: dict[int, list[Life]] = {}
        for life in self.lives:
            keys.setdefault(life.pid, []).append(life)
        for sample in self.samples:
            of = [life for life in keys.get(sample.pid, ()) if life.began <= sample.time]
            if not of:
                continue
            at = {"ts": self.us(sample.time), "pid": of[-1].key}
            sizes = {"private": sample.resident - sample.shared, "shared": sample.shared}
            yield {"ph": "C", "name": "memory", **at, "args": sizes}
            yield {"ph": "C", "name": "cpu ms", **at, "args": {"cpu": sample.cpu / 1e6}}

    def _backlog(self) -> Iterator[Event]:
        """Tasks that no worker had begun, of all pools together, shown at the first process that hands any in."""
        owners = [pid for pid in self._waiting if pid]
        if not owners:
            return
        changes: Counter[int] = Counter()
        for of in self._waiting.values():
            changes.update(of)
        width, waiting = max(self.duration // _BINS, 1), 0
        for place in sorted(changes):
            waiting += changes[place]
            at = {"ts": place * width / 1000, "pid": owners[0]}
            yield {"ph": "C", "name": "tasks waiting", **at, "args": {"tasks": max(waiting, 0)}}
