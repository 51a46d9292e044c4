# METHODS: fork forkserver

"""The end of a process is noticed in other ways than by join."""

import multiprocessing as mp
import time
from multiprocessing.connection import wait


def work(cells, number):
    cells[number] = 1


if __name__ == "__main__":
    cells = mp.RawArray("i", 3)
    children = [mp.Process(target=work, args=(cells, number)) for number in range(3)]
    for child in children:
        child.start()
    while children[0].is_alive():
        time.sleep(0.005)
    cells[0] += 1
    wait([children[1].sentinel])
    cells[1] += 1
    while mp.active_children():
        time.sleep(0.005)
    cells[2] += 1
    assert list(cells) == [2, 2, 2]
