"""Many small tasks for a pool, one at a time: map, imap_unordered and calls whose answers are awaited together."""

import json
import multiprocessing
import time

TASKS = 12_000


def digits(number):
    return sum(map(int, str(number)))


def main():
    with multiprocessing.Pool(2) as pool:
        pool.map(digits, range(2))
        begin = time.perf_counter()
        mapped = sum(pool.map(digits, range(TASKS), chunksize=1))
        streamed = sum(pool.imap_unordered(digits, range(TASKS)))
        calls = [pool.apply_async(digits, (number,)) for number in range(TASKS)]
        called = sum(call.get() for call in calls)
        seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "answer": [mapped, streamed, called]}))


if __name__ == "__main__":
    main()
