"""How long items take: the same for all, exponential, or with a heavy tail. Drawn once, from a seed."""

from __future__ import annotations

import numpy

KINDS = ("constant", "exponential", "heavy")
TAIL = 2.0  # Pareto's exponent of "heavy": the mean exists, the variance does not; the longest of 10,000 is 50 means


class Constant:
    """All items take the same. Costs nothing to have many of."""

    def __init__(self, count: int, mean: float) -> None:
        self.count, self.mean = count, mean

    def __len__(self) -> int:
        return self.count

    def between(self, first: int, end: int) -> float:
        return (end - first) * self.mean


class Drawn:
    """Items of given times."""

    def __init__(self, times: numpy.ndarray) -> None:
        self._before = [0.0, *numpy.cumsum(times).tolist()]  # seconds of all items before each

    def __len__(self) -> int:
        return len(self._before) - 1

    def between(self, first: int, end: int) -> float:
        return self._before[end] - self._before[first]


def items(kind: str, count: int, mean: float, seed: int = 1) -> Constant | Drawn:
    """So many items of about `mean` seconds. Raises: ValueError for a kind that there is not."""
    draw = numpy.random.default_rng(seed)
    if kind == "constant":
        return Constant(count, mean)
    if kind == "exponential":
        return Drawn(draw.exponential(mean, count))
    if kind == "heavy":
        return Drawn((1 + draw.pareto(TAIL, count)) * mean * (TAIL - 1) / TAIL)
    raise ValueError(f"times are {', '.join(KINDS)}, not {kind!r}")
