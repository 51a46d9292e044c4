# METHODS: fork spawn forkserver
"""A cache that each process fills for itself, the parent too, and functools' own."""

import functools
from multiprocessing import Pool

cache = {}
calls = [0]


@functools.cache
def slow(number):
    return number * 2


def compute(number):
    calls[0] += 1
    if number not in cache:
        cache[number] = slow(number)
    return cache[number]


def main():
    with Pool(2) as pool:
        answers = pool.map(compute, [1, 2, 1, 2, 3, 3])
    print(answers, compute(7))


if __name__ == "__main__":
    main()
