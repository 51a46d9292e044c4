# METHODS: fork forkserver
# EXPECT: race @ write

import multiprocessing as mp


def work(result, number):
    result[0] = number  # [write]


if __name__ == "__main__":
    result = mp.RawArray("i", 4)
    workers = [mp.Process(target=work, args=(result, number)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
