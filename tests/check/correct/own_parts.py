# METHODS: spawn

"""Each worker has its own part of an array; the parent reads after join."""

import multiprocessing as mp


def work(cells, raw, number):
    for i in range(number * 5, number * 5 + 5):
        cells[i] += i
        raw[i] = raw[i] + i
    raw[number * 5 : number * 5 + 5] = raw[number * 5 : number * 5 + 5]


if __name__ == "__main__":
    cells, raw = mp.Array("i", 10), mp.RawArray("i", 10)
    workers = [mp.Process(target=work, args=(cells, raw, number)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert list(raw) == cells[:] == list(range(10))
