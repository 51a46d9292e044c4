# METHODS: fork spawn forkserver
"""The parent fills its globals from what the tasks return; a callback appends."""

import multiprocessing

results = []
total = 0
largest = None


def work(number):
    return number, number * number


def collect(answer):
    results.append(answer)


if __name__ == "__main__":
    pool = multiprocessing.Pool(2)
    for number in range(5):
        pool.apply_async(work, (number,), callback=collect)
    pool.close()
    pool.join()
    for _, square in results:
        total += square
        largest = square if largest is None else max(largest, square)
    print(sorted(results), total, largest)
