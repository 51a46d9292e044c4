# METHODS: thread
# EXPECT: race @ write

import multiprocessing as mp


def work(result, number):
    start = 4 * number
    result[start : start + 5] = [number] * 5  # [write]


if __name__ == "__main__":
    result = mp.Array("i", 10)
    workers = [mp.Process(target=work, args=(result, number)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
