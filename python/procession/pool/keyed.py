"""map_reduce_by_key: map in the workers, combine by key there, merge what they wrote in the workers again.

The caller hands out chunks and ranges and keeps account of what is done; pairs never pass through it. A worker combines
what its share of the map gives in a native table, and writes that, sorted by hash, into a spool (`gather.spool`). Then
ranges of the hashes are merged, each by one worker, out of all that was written, into the answer: a file in memory that
the caller maps and reads in place. `rounds` has the rules, `shares` is the workers' side, `calls` what both phases
stand on; here is the order of events.
"""

from __future__ import annotations

from contextlib import ExitStack
from time import perf_counter

from .. import _native
from ..gather.budget import budget_of
from ..gather.reducers import SET, reducer_of
from ..gather.spool import Spool, spill_directory
from .board import CHUNK, COMMIT, ITEM, STATE, WRITING, KeyedStatistics
from .calls import Call, Options
from .feeding import Feeder
from .feeds import Pieces, items_of
from .results import name_of
from .rounds import Again, Fail, Finish, MapRounds, Merge, ReduceRounds, StartShare, cut
from .shares import MapShare, MapWork, MergeRange, MergeWork, merge

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..errors import WorkerDied
    from ..gather.reducers import Reducer
    from .board import KeyedProgress
    from .feeds import Items
    from .rounds import Instruction
    from .shares import Mapped
    from .supervisor import Supervisor

__all__ = ["map_reduce_by_key"]

KEPT = 4  # times the bytes that are read ahead: so many of an iterator's items are kept before shares are to return
AT_ONCE_BYTES = 256 << 10  # runs smaller than this are merged by the caller: asking a worker takes longer


def map_reduce_by_key(
    core: Supervisor,
    map_function: Callable[[Any], Any],
    items: Any,
    reduce: Any,
    combine: Any,
    chunksize: int | None,
    memory_budget: int | None,
    spill_dir: Any,
    retries: int,
    progress: Callable[[KeyedProgress], object] | None,
    kept: Any = None,
) -> Any:
    """See `Pool.map_reduce_by_key`. `kept` is a checkpoint of divided input: what its shares returned is known, the
    spool is its own, and what shares return is told to it; see `mapreduce.kept`."""
    if not callable(map_function):
        raise TypeError(f"map_reduce_by_key takes a map function, and {map_function!r} cannot be called")
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise ValueError(f"retries is a number of times, 0 or more, not {retries!r}")
    reducer = reducer_of(reduce, combine)
    budget = budget_of(memory_budget, core.size)
    is_far = hasattr(core.engine, "cluster")
    directory = spill_dir if spill_dir is None or is_far else spill_directory(spill_dir)
    options = Options(reducer, budget, directory, retries, progress, kept)
    with ExitStack() as stack:
        source, reader = _input(items, core.size, stack, is_far=is_far)
        share = MapShare(map_function, reducer, reader)
        if is_far:
            from .far_keyed import map_reduce_far

            return map_reduce_far(core, share, source, chunksize, options)
        call = stack.enter_context(Call(core, options))
        phase = Mapping(call, source, share, chunksize)
        phase.run()
        return Reducing(call, phase).run()


def _input(items: Any, workers: int, stack: ExitStack, *, is_far: bool) -> tuple[Items, Any]:
    """The chunks, and what reads them if it is pieces that they hold.

    An input that can be read on other machines as well says how (`afar`): see `mapreduce.Files`.
    """
    if not (hasattr(items, "divide") and hasattr(items, "read")):
        return items_of(items), None
    plan = stack.enter_context(items.divide(workers))
    size = getattr(plan, "size_bytes", None)
    pieces, reader = items.afar(plan) if is_far and hasattr(items, "afar") else (plan.pieces, items)
    return Pieces(pieces, size if isinstance(size, int) else None), reader


class Run:
    """A sorted run that a share returned."""

    __slots__ = ("bytes", "described", "sizes")

    def __init__(self, spool: int, description: bytes, tables: int) -> None:
        self.described: tuple[int, bytes] = spool, description
        # Of each table, by slot
        self.sizes: list[list[int]] = [_native.run_slots(description, which) for which in range(tables)]
        self.bytes: int = sum(map(sum, self.sizes))


class Mapping:
    """The map phase."""

    def __init__(self, call: Call, source: Items, share: MapShare, chunksize: int | None) -> None:
        self.call: Call = call
        self.source: Items = source
        self._share = share
        ahead = call.options.budget.ahead_bytes
        self._feeder = Feeder(source, call.core.size, chunksize, ahead, shared=call.shared)
        call.stopping.append(self._feeder.stop)
        self.rounds: MapRounds = MapRounds(call.core.size, call.options.retries)
        self.runs: list[Run] = []  # of one share in the order in which they were written
        self.items: int = 0  # of shares that returned, as are the two below
        self.bytes: int = 0
        self.pairs: int = 0
        self.seconds: float = 0.0
        self._tables = 2 if share.reducer.shape == SET else 1
        self._spool_of: dict[int, int] = {}  # by slot
        self._asked = 0  # bytes kept when shares were last asked to return
        self._committed = call.began  # when shares were last asked to return for the checkpoint
        self._announced = False  # the round's last chunk is in the queue, and the rules know
        self._finished = False
        if call.options.kept is not None:
            self._know(call.options.kept)

    def _know(self, kept: Any) -> None:
        """Take what shares of an earlier call returned as if they returned now."""
        assert isinstance(self.source, Pieces)
        places: dict[str, int] = {}
        for name, told, chunks in kept.runs():
            if name not in places:
                places[name] = self.call.take_spool(kept.reopened(name), is_old=True)
            self._keep(places[name], told)
            self.call.known_bytes += self.source.skip(chunks)

    def run(self) -> None:
        """Have everything mapped. Blocks until all runs are written."""
        feeder, call = self._feeder, self.call
        while not self._finished:
            call.total_items, call.total_bytes = self.source.total, self.source.input_bytes
            self._fill()
            if self._finished:
                break
            for slot, told, death in call.arrivals(feeder.wait_s(), "map"):
                if death is None:
                    self._returned(slot, told)
                else:
                    self._died(slot, death)
            feeder.measure(*call.measured())
        self.seconds = perf_counter() - call.began
        call.report("map", always=True)

    def _fill(self) -> None:
        feeder = self._feeder
        numbers = feeder.fill()
        if numbers:
            self._carry_out(self.rounds.fed(numbers, feeder.waiting))
        self._ask_for_commits()
        if feeder.complete and not self._announced:
            self._announced = True
            self._carry_out(self.rounds.completed(feeder.waiting))

    def _ask_for_commits(self) -> None:
        """Have shares return when too many of an iterator's items are kept for the case that their worker dies."""
        checkpoint, now = self.call.options.kept, perf_counter()
        if checkpoint is not None and now - self._committed >= checkpoint.interval:
            self._committed = now
            self.call.board.words[COMMIT] += 1
        kept, most = self.source.kept_bytes, KEPT * self.call.options.budget.ahead_bytes
        if kept <= most:
            self._asked = 0
        elif kept > self._asked + most:
            self._asked = kept
            self.call.board.words[COMMIT] += 1

    def _returned(self, slot: int, told: Mapped) -> None:
        call = self.call
        call.count(slot)
        if call.options.kept is not None:
            call.options.kept.add_runs(told)
        self._keep(self._spool_of.pop(slot), told)
        self.source.committed(told.chunks)
        self._carry_out(self.rounds.returned(slot, told.chunks, self._feeder.waiting))

    def _keep(self, place: int, told: Mapped) -> None:
        runs = [Run(place, run, self._tables) for run in told.runs]
        self.runs.extend(runs)
        self.call.spools[place].run_bytes += sum(run.bytes for run in runs)
        self.items += told.items
        self.bytes += told.bytes
        self.pairs += told.pairs

    def _died(self, slot: int, death: WorkerDied) -> None:
        line = self.call.board.line(slot)
        at = (line[CHUNK] - 1, line[ITEM]) if line[CHUNK] else None
        self.call.board.clear(slot)
        del self._spool_of[slot]
        self._carry_out(self.rounds.died(slot, at, self._feeder.waiting), death)

    def _carry_out(self, instructions: list[Instruction], death: WorkerDied | None = None) -> None:
        for instruction in instructions:
            if isinstance(instruction, StartShare):
                self._start(instruction)
            elif isinstance(instruction, Again):
                self._announced = False
                self._feeder.again(instruction.chunks)
            elif isinstance(instruction, Fail):
                assert death is not None
                raise self.call.given_up(death, self._at(instruction), instruction)
            elif isinstance(instruction, Finish):
                self._finished = True

    def _at(self, failure: Fail) -> str:
        name = name_of(self._share.function)
        return name if failure.chunk is None else f"{name}({self.source.describe(failure.chunk, failure.item)}"

    def _start(self, share: StartShare) -> None:
        call = self.call
        budget = call.options.budget
        running = len(self._spool_of)
        on_disk = budget.spool_on_disk(call.in_memory, running, self.source.input_bytes)
        place = self._spool_of[share.slot] = call.spool(on_disk)
        call.board.clear(share.slot)
        call.doing[share.slot] = lambda: self._now_at(share.slot)
        spool = call.spools[place].spool
        work = MapWork(
            share.slot, share.most, self._feeder.queue, call.board, spool, budget.table_bytes, call.core.engine.tasks
        )
        call.submit(share.slot, self._share, work)

    def _now_at(self, slot: int) -> str:
        """What a share that failed was at."""
        line = self.call.board.line(slot)
        if not line[CHUNK]:
            doing = "writing down what was gathered" if line[STATE] == WRITING else "between two items"
            return f"{name_of(self._share.function)}, {doing}"
        return f"{name_of(self._share.function)}({self.source.describe(line[CHUNK] - 1, line[ITEM])}"


class Reducing:
    """The reduce phase."""

    def __init__(self, call: Call, mapped: Mapping) -> None:
        self._call, self._mapped = call, mapped
        self._began = perf_counter()
        self._reducer: Reducer = call.options.reducer
        self._merge = MergeRange(self._reducer)
        self._parts: list[tuple[int, int, int]] = []  # which table, low, high
        self._segments: list[bytes] = []
        self._part_of: dict[int, int] = {}  # by slot
        self._finished = False

    def run(self) -> Any:
        """Have everything merged. Blocks until the answer is there, and returns it."""
        call = self._call
        total = self._divide()
        run_bytes = sum(spool.run_bytes for spool in call.spools)
        disk = call.options.budget.answer_on_disk(call.in_memory, run_bytes)
        self._answer = Spool.on_disk(call.directory) if disk else Spool.in_memory("procession-answer")
        call.owned.append(self._answer)
        self._segments = [b""] * len(self._parts)
        call.total_bytes, call.merged = total, 0
        if total < AT_ONCE_BYTES and not self._reducer.calls_python:
            for part in range(len(self._parts)):
                self._segments[part] = merge(self._reducer, self._work(part, 0))
        else:
            self._in_workers()
        call.merged = total
        call.report("reduce", always=True)
        return self._seal(run_bytes)

    def _divide(self) -> int:
        """Cut the tables into parts; the bytes of all runs."""
        runs, total = self._mapped.runs, 0
        for which in range(len(runs[0].sizes) if runs else 0):
            sizes = [sum(column) for column in zip(*(run.sizes[which] for run in runs), strict=True)]
            total += sum(sizes)
            self._parts.extend((which, low, high) for low, high in cut(sizes, self._call.core.size))
        return total

    def _bytes_of(self, part: int) -> int:
        which, low, high = self._parts[part]
        return sum(sum(run.sizes[which][low:high]) for run in self._mapped.runs)

    def _in_workers(self) -> None:
        call = self._call
        rounds = ReduceRounds(len(self._parts), 2 * call.core.size, call.options.retries)
        self._carry_out(rounds.begin())
        while not self._finished:
            for slot, told, death in call.arrivals(0.1, "reduce"):
                part = self._part_of.pop(slot)
                if death is None:
                    self._segments[part] = told
                    call.merged += self._bytes_of(part)
                    self._forget(part)
                    self._carry_out(rounds.returned(part, slot))
                else:
                    self._carry_out(rounds.died(part, slot), death)
        call.deaths += rounds.deaths

    def _carry_out(self, instructions: list[Instruction], death: WorkerDied | None = None) -> None:
        for instruction in instructions:
            if isinstance(instruction, Merge):
                self._start(instruction.part, instruction.slot)
            elif isinstance(instruction, Fail):
                assert death is not None
                assert instruction.part is not None
                raise self._call.given_up(death, self._describe(instruction.part), instruction)
            elif isinstance(instruction, Finish):
                self._finished = True

    def _start(self, part: int, slot: int) -> None:
        call = self._call
        call.board.clear(slot)
        self._part_of[slot] = part
        call.doing[slot] = lambda: self._describe(part)
        call.submit(slot, self._merge, self._work(part, slot))

    def _forget(self, part: int) -> None:
        """What was merged for good gives its room to the answer, unless it is to be merged again after a crash."""
        if self._call.options.kept is not None:
            return
        which, low, high = self._parts[part]
        for run in self._mapped.runs:
            place, description = run.described
            _native.forget_slots(self._call.spools[place].spool.fd, description, low, high, which)

    def _describe(self, part: int) -> str:
        return f"the reduce of {self._reducer.label}, part {part + 1} of {len(self._parts)}"

    def _work(self, part: int, slot: int) -> MergeWork:
        which, low, high = self._parts[part]
        runs = [run.described for run in self._mapped.runs if any(run.sizes[which][low:high])]
        spools = [spool.spool for spool in self._call.spools]
        memory = self._call.options.budget.table_bytes
        return MergeWork(slot, self._call.board, self._answer, spools, runs, memory, low, high, which)

    def _seal(self, run_bytes: int) -> Any:
        from ..gather.result import seal

        call, mapped = self._call, self._mapped
        tables: tuple[list[bytes], list[bytes]] = ([], [])
        for (which, _, _), segments in zip(self._parts, self._segments, strict=True):
            tables[which].append(segments)
        result = seal(self._answer, self._reducer, *tables)
        now = perf_counter()
        result.statistics = KeyedStatistics(
            seconds=now - call.began,
            map_seconds=mapped.seconds,
            reduce_seconds=now - self._began,
            items=mapped.items,
            input_bytes=mapped.bytes,
            pairs=mapped.pairs,
            keys=len(result),
            runs=len(mapped.runs),
            run_bytes=run_bytes,
            spilled_bytes=sum(spool.run_bytes for spool in call.spools if spool.spool.directory is not None),
            deaths=mapped.rounds.deaths + call.deaths,
            workers=call.core.size,
        )
        return result
