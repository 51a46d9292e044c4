"""What the project promised, as data. Ratios: rival's cost / ours, medians of one run, on two cores."""

from __future__ import annotations

from benchmarks.model import Ceiling, Target

_PIPE = "pipe.round-trip"
_FUTURES = "futures"

TARGETS = (
    Target("queue.ints", 25),
    Target("queue.ints", 25, "faster-fifo"),
    Target("queue.texts", 15),
    Target("queue.dicts", 8),
    Target("queue.bytes-1k", 15),
    *[Target(f"queue.{parties}-dicts", 6) for parties in ("2p2c", "4p1c", "1p4c")],
    *[Target(f"queue.{parties}-ints", 15) for parties in ("2p2c", "4p1c", "1p4c")],
    Target("queue.bytes-64k", 12),
    Target("queue.array-8m", 20),
    Target("queue.array-8m", 0.5, "memcpy"),
    Target("queue.batch-ints", 1.3),
    Target("queue.batch-dicts", 1),
    *[Target(f"{row}/median", 10, other_row=f"{_PIPE}/median") for row in (_PIPE, "queue.round-trip")],
    *[Target(f"{row}/p99", 1, other_row=f"{_PIPE}/p99") for row in (_PIPE, "queue.round-trip")],
    *[Target(f"handover.{by}", 10) for by in ("semaphore", "lock", "event", "condition")],
    Target("lock.pair", 1),
    Target("lock.with", 2),
    Target("lock.contended", 1.5),
    Target("value.get", 5),
    Target("value.set", 5),
    Target("value.locked-add", 4),
    Target("value.array-get", 12),
    Target("value.array-slice", 1.5),
    Target("pool.map-1", 30),
    Target("pool.map", 1),
    Target("pool.apply/median", 5),
    Target("pool.submit", 50, _FUTURES),
    *[Target(f"pool.arrays-in{suffix}", 5) for suffix in ("", "-forkserver")],
    *[Target(f"pool.arrays-out{suffix}", 8) for suffix in ("", "-forkserver")],
    *[Target(f"pool.arrays-{way}-peak", 1) for way in ("in", "out")],
    *[
        Target(f"start.{what}/{when}", ratio)
        for method, ratio in (("fork", 2), ("forkserver", 2), ("spawn", 1.3))
        for what in (f"process-{method}", f"process-{method}-numpy", f"process-{method}-heap", f"pool-{method}-numpy")
        for when in ("first", "next")
    ],
)

CEILINGS = (
    Ceiling("memory.idle/descriptors", 20),
    Ceiling("memory.idle/rss-mib", 200),
    Ceiling("pool.heavy-tail", 1.08),
)
