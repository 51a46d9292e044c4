"""A keyed map-reduce's shuffle on the same model: m map tasks, then r ranges, each gathered from all m.

Two runs of the pool's simulation, one behind the other, because no range can be merged before the last map task has
ended. What a shuffle adds to a task: each range is read from every map task's output, so there are m x r transfers,
which the workers make; and where the parts are things that the coordinator keeps account of (a scheduler's futures, one
for each part), m x r of those, which it creates on the way in and looks up on the way out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .pool import Costs, Run, simulate
from .times import items


@dataclass(frozen=True)
class Shuffle:
    """The work, and what parting it costs. Seconds."""

    maps: int
    ranges: int
    map_s: float
    """All mapping together."""
    merge_s: float
    """All merging together."""
    transfer: float = 0.0
    """The worker's, for what one range needs of one map task's output."""
    handle: float = 0.0
    """The coordinator's, for each such part, in all; none where the parts are stretches of a file."""
    kind: str = "constant"
    """How the times of map tasks are distributed; ranges are even, for hashes are."""


@dataclass(frozen=True)
class Shuffled:
    """What came of it."""

    map: Run
    reduce: Run
    transferring: float
    """The workers' time spent on transfers, a part of `reduce.working`."""

    @property
    def seconds(self) -> float:
        """From the beginning to the end."""
        return self.map.makespan + self.reduce.makespan

    @property
    def efficiency(self) -> float:
        """The part of the workers' time that went into mapping and merging."""
        useful = self.map.working + self.reduce.working - self.transferring
        return useful / (self.map.workers * self.seconds)


def simulate_shuffle(work: Shuffle, workers: int, costs: Costs) -> Shuffled:
    """Map, wait for the last, merge. `costs` are those of a task of one item."""
    mapping = replace(costs, answer=costs.answer + work.ranges * work.handle / 2)
    reducing = replace(costs, submit=costs.submit + work.maps * work.handle / 2)
    each = work.merge_s / work.ranges + work.maps * work.transfer
    return Shuffled(
        simulate(items(work.kind, work.maps, work.map_s / work.maps), workers, mapping, 1),
        simulate(items("constant", work.ranges, each), workers, reducing, 1),
        work.maps * work.ranges * work.transfer,
    )
