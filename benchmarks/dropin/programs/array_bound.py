"""A histogram and a balance in shared memory: every element and every lock is touched by two processes."""

import json
import multiprocessing
import time

ROUNDS = 60_000
BINS = 64


def deposit(first, histogram, balance):
    for number in range(first, first + ROUNDS):
        with histogram.get_lock():
            histogram[number % BINS] += 1
        with balance.get_lock():
            balance.value += 0.5
    for _ in range(200):
        assert len(histogram[:]) == BINS


def main():
    histogram = multiprocessing.Array("l", BINS)
    balance = multiprocessing.Value("d", 0.0)
    begin = time.perf_counter()
    workers = [multiprocessing.Process(target=deposit, args=(7 * first, histogram, balance)) for first in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "answer": [sum(histogram), balance.value]}))


if __name__ == "__main__":
    main()
