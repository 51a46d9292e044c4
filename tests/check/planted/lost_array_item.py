# METHODS: spawn
# EXPECT: lost-update @ update

import multiprocessing as mp


def work(counts, number):
    for i in range(20):
        counts[number] += 1
        counts[2] = counts[2] + i  # [update]


if __name__ == "__main__":
    counts = mp.Array("q", 3)
    workers = [mp.Process(target=work, args=(counts, number)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
