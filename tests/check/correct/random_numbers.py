# METHODS: fork spawn
"""Generators and counters from libraries, which each process moves on by itself."""

import collections
import itertools
import multiprocessing
import random

rng = random.Random(4)
numbers = itertools.count()
recent = collections.deque(maxlen=3)


def work(_):
    recent.append(next(numbers))
    return rng.random() < 2, len(recent)


def main():
    with multiprocessing.Pool(2) as pool:
        print(all(fine for fine, _ in pool.imap_unordered(work, range(8))))
    print(next(numbers), rng.random() < 1)


if __name__ == "__main__":
    main()
