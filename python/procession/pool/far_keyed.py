"""map_reduce_by_key on a cluster: the same tables, runs and merges, with the engine's own machinery between them.

The input goes out in *portions*, a few for each worker: chunks of items that travel with the task, or pieces of files
that are read where the task runs. A map task leaves its parcels (see `far_shares`) with the engine, and the caller
learns only that they are there. When all are, a reduce task for each range of the hashes is handed what stands for the
parcels of that range, so the engine brings them from worker to worker; nothing but segments of the answer ever comes
here, where they are put one behind another and sealed.

What is different from the pool's own workers: who died is the engine's business, which calls the task again, or tells
(`Cluster.fate`) that it gives up; a call that ends early takes back what has not begun, and leaves what has. Considered
and dropped: reduce tasks submitted ahead of the map tasks they need (Dask would start copying a little earlier, and an
executor would have to wait inside); borders that even out ranges (they would have to be known before the map).
"""

from __future__ import annotations

import os
import queue
import struct
import threading
from functools import partial
from time import perf_counter

from .._clusters.serving import serve_joined, serve_parts
from .._clusters.shipping import loads
from ..errors import NotSupported, PicklingError, WorkerDied
from ..gather.spool import Spool, spill_directory
from .board import KeyedProgress, KeyedStatistics, WorkerProgress
from .far_shares import PAGE, SLOTS, MapPortion, Means, MergeParcels, borders_of, told
from .feeds import Pieces, weigh
from .mapping import name_culprit
from .results import failure
from .state import DIED, VALUE

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .._clusters import Submitted
    from .calls import Options
    from .far_shares import Merged, Told
    from .feeds import Chunk, Items
    from .shares import MapShare
    from .supervisor import Supervisor

__all__ = ["map_reduce_far"]

PORTIONS_PER_WORKER = 4  # of an input whose size is known; so that the last to end are short
AHEAD_PER_WORKER = 3  # portions out: one being mapped, others on their way
RANGES_PER_WORKER = 2
MOST_RANGES = 64  # handles are portions x ranges, and a scheduler takes about a millisecond for each; arbitrary
LEAST_BYTES = 1 << 20  # of input in a portion: below it a task of the engine's costs more than its work
MOST_BYTES = 4 << 20  # of items that travel with a task: schedulers keep it as long as the task may be done again
TARGET_NS = 200_000_000  # work in a portion of an iterator
RANGE_BYTES = 64 << 20  # of input behind a range, about; so that a range of a large input is merged in memory
REPORT_S = 0.1  # between two reports of progress
REFERENCE = struct.Struct("<5Q")  # first hash, last hash, offset, length, entries; see crates/gather/src/segment.rs


def map_reduce_far(core: Supervisor, share: MapShare, source: Items, chunksize: int | None, options: Options) -> Any:
    """The answer, a KeyedResult. Blocks until it is there.

    Raises: what a function raised, with a note of where; WorkerDied, ClusterLost and others as `Cluster.fate` has them;
    SpillFull; NotSupported for a checkpoint.
    """
    name = core.engine.method
    if options.kept is not None:
        raise NotSupported(
            f"{name} keeps no checkpoint: its workers' files are not here. Have the input done in parts and save each "
            "answer, or run it on this machine (get_context('fork')) with checkpoint="
        )
    call = _FarCall(core, share, source, chunksize, options)
    core.feeding.add(call)  # so that the pool is not joined before this is over
    try:
        return call.run()
    finally:
        core.feeding.discard(call)
        call.over.set()


class Portions:
    """The input, cut into what map tasks are handed."""

    def __init__(self, source: Items, workers: int, chunksize: int | None) -> None:
        self._source, self._chunksize = source, chunksize
        self._tasks = PORTIONS_PER_WORKER * workers
        self._largest = self._mean_bytes = 1
        self._items = self._nanos = 0
        self._goal_bytes = max(LEAST_BYTES, (source.input_bytes or 0) // self._tasks)

    def next(self) -> tuple[list[Chunk], int] | None:
        """The chunks of the next one and about how many bytes they are. None: there are no more.

        Raises: what the caller's iterator raises.
        """
        if isinstance(self._source, Pieces):
            return self._pieces()
        number = self._source.make(self._size())
        if number is None:
            return None
        chunk = self._source.chunk(number)
        self._source.committed([number])
        items = chunk[2]
        size_bytes = weigh(items)
        self._largest, self._mean_bytes = max(self._largest, len(items)), max(1, size_bytes // len(items))
        return [chunk], size_bytes

    def _pieces(self) -> tuple[list[Chunk], int] | None:
        chunks: list[Chunk] = []
        size_bytes = 0
        while size_bytes < self._goal_bytes and (number := self._source.make(1)) is not None:
            chunks.append(self._source.chunk(number))
            size_bytes += getattr(chunks[-1][2][0], "size_bytes", self._goal_bytes)
        return (chunks, size_bytes) if chunks else None

    def _size(self) -> int:
        """Items for the next one."""
        most = max(1, MOST_BYTES // self._mean_bytes)
        if self._chunksize is not None:
            return self._chunksize
        if self._source.total is not None:
            return min(most, -(-self._source.total // self._tasks))
        wanted = TARGET_NS * self._items // max(1, self._nanos) if self._items else 1
        return max(1, min(most, wanted, 8 * self._largest))

    def measure(self, items: int, nanos: int) -> None:
        """So many items took a worker so long."""
        self._items += items
        self._nanos += nanos


class _FarCall:
    """One call from begin to end."""

    def __init__(
        self, core: Supervisor, share: MapShare, source: Items, chunksize: int | None, options: Options
    ) -> None:
        engine: Any = core.engine  # a `far.FarEngine`
        self._core, self._cluster, self._dispatcher = core, engine.cluster, engine.dispatcher
        self._source, self._options = source, options
        self.over = threading.Event()
        self._began = self._reported = perf_counter()
        self._workers = workers = core.size
        self._portions = Portions(source, workers, chunksize)
        wanted = max(RANGES_PER_WORKER * workers, (source.input_bytes or 0) // RANGE_BYTES)
        self._borders = borders_of(min(wanted, MOST_RANGES, SLOTS))
        named = max(1, options.budget.total_bytes // workers) if options.budget.named else None
        means = Means(named, options.directory)
        self._map_function = MapPortion(share, self._borders, means)
        self._merge_function = MergeParcels(options.reducer, means)
        self._out: dict[int, _Task] = {}
        self._ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._parcels: dict[int, list[Any]] = {}  # what stands for those of each map task
        self._told: list[Told] = []
        self._merged: dict[int, Merged] = {}  # by range
        self._deaths = 0

    def run(self) -> Any:
        """Do it."""
        try:
            self._map()
            map_seconds, began = perf_counter() - self._began, perf_counter()
            self._report("map", always=True)
            self._reduce()
            self._report("reduce", always=True)
        finally:
            for task in self._out.values():  # of a call that ends early
                task.call.cancel()
                self._dispatcher.leave(task.number)
            self._parcels.clear()  # the engine forgets what nobody asks for
        result = self._seal()
        result.statistics = self._statistics(len(result), map_seconds, perf_counter() - began)
        return result

    def feed_all(self) -> None:
        """As `Call.feed_all`."""
        self.over.wait()

    # The two phases

    def _map(self) -> None:
        function = self._dispatcher.functions.pack(self._map_function)
        self._send(function)
        while self._out:
            for _, of_task in self._arrivals("map"):
                self._told.append(of_task)
                self._portions.measure(of_task.items, of_task.nanos)
                self._send(function)

    def _send(self, function: Any) -> None:
        """Submit portions as long as few are out and there are any. Raises: PicklingError naming the item."""
        while len(self._out) < AHEAD_PER_WORKER * self._workers and (portion := self._portions.next()) is not None:
            chunks, _ = portion
            try:
                payload = portion if self._cluster.is_near else self._dispatcher.shipping.dumps(portion)
            except PicklingError as error:
                _, first, items = chunks[0]
                raise name_culprit(error, items, "items", first, self._core.engine.encode) from error.__cause__
            number = len(self._parcels)
            self._submit(number, self._map_function.__qualname__, partial(self._spread, number, function, payload))

    def _spread(self, number: int, function: Any, payload: Any) -> Submitted:
        arguments = len(self._borders), function, payload, *self._dispatcher.prepare
        outcome, *self._parcels[number] = self._cluster.spread(len(self._borders), serve_parts, *arguments)
        call: Submitted = self._cluster.submit(told, outcome)
        return call

    def _reduce(self) -> None:
        function = self._dispatcher.functions.pack(self._merge_function)
        prepare = self._dispatcher.prepare or (None, "")
        parts = list(zip(*(self._parcels[number] for number in sorted(self._parcels)), strict=True))
        for part, parcels in enumerate(parts):
            name = f"{self._merge_function.__qualname__}, part {part + 1} of {len(parts)}"
            self._submit(part, name, partial(self._cluster.submit, serve_joined, function, *prepare, *parcels))
        while self._out:
            for part, merged in self._arrivals("reduce"):
                self._merged[part] = merged

    # Tasks

    def _submit(self, number: int, name: str, submit: Callable[[], Submitted], deaths: int = 0) -> None:
        try:
            call = submit()
        except Exception as error:
            raise self._fate(error, name)  # noqa: B904  (a fate has its cause)
        self._out[number] = _Task(self._dispatcher.enter(), name, submit, call, deaths)
        call.add_done_callback(lambda _: self._ended.put(number))

    def _arrivals(self, phase: str) -> Iterator[tuple[int, Any]]:
        """Wait a moment for a task to end: its number and what it gave, if one does. One that the engine gave up, for
        its workers died, is submitted again, `retries` times. Raises: what a task raised; as `Cluster.fate` has it;
        what the pool broke with, or that it was terminated."""
        if (error := self._core.error) is not None:
            raise error.with_traceback(None)
        try:
            number = self._ended.get(timeout=REPORT_S)
        except queue.Empty:
            self._report(phase)
            return
        task = self._out.pop(number)
        self._dispatcher.leave(task.number)
        try:
            given = self._given(task)
        except WorkerDied:
            self._deaths += 1
            if task.deaths >= self._options.retries:
                raise
            self._submit(number, task.name, task.submit, task.deaths + 1)
        else:
            yield number, given
        self._report(phase)

    def _given(self, task: _Task) -> Any:
        """What a task gave. Raises: what it raised."""
        try:
            outcome = task.call.result()
        except Exception as error:
            raise self._fate(error, task.name)  # noqa: B904  (as above)
        status, value, _, _ = outcome if self._cluster.is_near else loads(outcome)
        if status == DIED:
            name, pid, exitcode = value
            raise WorkerDied.of(name, pid, exitcode, item=task.name)
        if status != VALUE:
            raise failure(status, value, task.name)
        return value

    def _fate(self, error: Exception, doing: str) -> BaseException:
        """What to raise for an error that is none of the task's own."""
        fate = self._cluster.fate(error) or error
        fate.add_note(f"at {doing}")
        return fate

    # The answer

    def _seal(self) -> Any:
        from ..gather.result import seal

        size = sum(len(merged.data) for merged in self._merged.values())
        on_disk = self._options.budget.answer_on_disk(0, size)
        directory = spill_directory(None)  # a spill_dir is a place of the workers'
        answer = Spool.on_disk(directory) if on_disk else Spool.in_memory("procession-answer")
        try:
            tables: tuple[list[bytes], list[bytes]] = ([], [])
            end = PAGE
            for part in sorted(self._merged):
                merged = self._merged.pop(part)
                for table, segments in zip(tables, merged.segments, strict=False):
                    table.append(_moved(segments, end - PAGE))
                answer.fill(_write, answer.fd, merged.data, end)
                end += len(merged.data)
            return seal(answer, self._options.reducer, *tables)
        finally:
            answer.close()

    def _statistics(self, keys: int, map_seconds: float, reduce_seconds: float) -> KeyedStatistics:
        def count(field: str) -> int:
            return sum(getattr(one, field) for one in self._told)

        return KeyedStatistics(
            seconds=perf_counter() - self._began,
            map_seconds=map_seconds,
            reduce_seconds=reduce_seconds,
            items=count("items"),
            input_bytes=count("bytes"),
            pairs=count("pairs"),
            keys=keys,
            runs=count("runs"),
            run_bytes=count("run_bytes"),
            spilled_bytes=count("disk_bytes"),
            deaths=self._deaths,  # that the engine gave up; of others it does not say
            workers=self._workers,
        )

    # Progress

    def _report(self, phase: str, *, always: bool = False) -> None:
        """As `Call.report`, of what map tasks that are done have told. Raises: what the callback raises."""
        progress, now = self._options.progress, perf_counter()
        if progress is None or (not always and now - self._reported < REPORT_S):
            return
        self._reported = now
        by_pid: dict[int, list[int]] = {}
        for one in self._told:
            counts = by_pid.setdefault(one.pid, [0] * 4)
            for place, value in enumerate((one.items, one.bytes, one.pairs, one.spilled_bytes)):
                counts[place] += value
        workers = tuple(WorkerProgress(pid, phase, *counts) for pid, counts in sorted(by_pid.items()))
        items, done = sum(one.items for one in workers), sum(one.bytes for one in workers)
        total_items, total_bytes = self._source.total, self._source.input_bytes
        if phase == "reduce":
            total_bytes = sum(one.run_bytes for one in self._told)
            done = total_bytes * len(self._merged) // max(1, len(self._borders) - 1)
        progress(KeyedProgress(phase, items, total_items, done, total_bytes, now - self._began, workers))


class _Task:
    """One that is out."""

    def __init__(self, number: int, name: str, submit: Callable[[], Submitted], call: Submitted, deaths: int) -> None:
        """`number`: the pool's own; `deaths`: of workers, so far."""
        self.number, self.name, self.submit, self.call, self.deaths = number, name, submit, call, deaths


def _moved(segments: bytes, by: int) -> bytes:
    """References to segments that lie so many bytes further on."""
    references = REFERENCE.iter_unpack(segments)
    return b"".join(REFERENCE.pack(first, last, at + by, *rest) for first, last, at, *rest in references)


def _write(fd: int, data: bytes, at: int) -> None:
    """All of it. Raises: OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written
