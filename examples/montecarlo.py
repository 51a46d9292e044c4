"""The price of an option by simulation, as exact as you ask for, and the same with any number of workers.

    python examples/montecarlo.py
    python examples/montecarlo.py --error 0.001 --workers 8

It shows: a generator of random numbers for each task, grown from one seed, so that no two workers draw the same numbers
and every run can be repeated; `imap`, which reads tasks without an end only as far as somebody wants results; stopping
when the standard error is small enough. The European call priced here has a formula, which says whether it is right.

Results are taken in the order of the tasks and added up by `fsum`, which rounds once. Sums that each worker makes for
itself would differ in the last digits with who did what.

Needs numpy: pip install numpy
"""

import argparse
import math
from collections.abc import Iterator
from itertools import count
from statistics import NormalDist

import procession

try:
    import numpy as np
except ImportError:
    raise SystemExit("this example needs numpy: pip install numpy") from None

SPOT, STRIKE, RATE, VOLATILITY, YEARS = 100.0, 105.0, 0.03, 0.2, 1.0
DRAWS = 100_000  # by a task: some milliseconds of work, so that handing it out costs nothing beside


def simulate(seed: tuple[int, int]) -> tuple[float, float]:
    """The sum of so many discounted payoffs, and of their squares."""
    draws = np.random.default_rng(seed).standard_normal(DRAWS)
    drift = (RATE - VOLATILITY**2 / 2) * YEARS
    payoffs = np.maximum(SPOT * np.exp(drift + VOLATILITY * math.sqrt(YEARS) * draws) - STRIKE, 0)
    payoffs *= math.exp(-RATE * YEARS)
    return float(payoffs.sum()), float(payoffs @ payoffs)


def estimates(results: Iterator[tuple[float, float]]) -> Iterator[tuple[int, float, float]]:
    """After each task: the draws so far, the price, and its standard error."""
    sums, squares = [], []
    for tasks, (total, square) in enumerate(results, 1):
        sums.append(total)
        squares.append(square)
        draws = tasks * DRAWS
        price = math.fsum(sums) / draws
        yield draws, price, math.sqrt((math.fsum(squares) / draws - price**2) / draws)


def formula() -> float:
    """The same by Black and Scholes."""
    spread, normal = VOLATILITY * math.sqrt(YEARS), NormalDist().cdf
    d = (math.log(SPOT / STRIKE) + (RATE + VOLATILITY**2 / 2) * YEARS) / spread
    return SPOT * normal(d) - STRIKE * math.exp(-RATE * YEARS) * normal(d - spread)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--error", type=float, default=0.005, help="stop at this standard error (default: 0.005)")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--workers", type=int, help="default: as many as there are CPUs")
    parser.add_argument("--engine", help="fork, spawn, forkserver, thread, dask, ray (default: Python's own)")
    args = parser.parse_args()

    with procession.get_context(args.engine) as context, context.Pool(args.workers) as pool:
        seeds = ((args.seed, task) for task in count())
        found = estimates(pool.imap(simulate, seeds))
        draws, price, error = next(estimate for estimate in found if estimate[2] <= args.error)
    print(f"{draws:,} draws: {price:.5f}, standard error {error:.5f}")
    print(f"by the formula: {formula():.5f}, {abs(price - formula()) / error:.1f} standard errors away")


if __name__ == "__main__":
    main()
