# METHODS: fork

"""A start clears up after a child that has ended; the program learns of it only when it asks, and then it does."""

import multiprocessing as mp
from multiprocessing.connection import wait

from procession.testing import wait_until


def work(cells, number):
    cells[number] = 1


def is_zombie(process):
    with open(f"/proc/{process.pid}/stat") as file:
        return ") Z " in file.read()


if __name__ == "__main__":
    cells = mp.RawArray("i", 3)
    children = [mp.Process(target=work, args=(cells, number)) for number in range(3)]
    for child in children:
        child.start()
        wait_until(lambda child=child: is_zombie(child))
    wait([children[0].sentinel])
    cells[0] += 1
    mp.active_children()
    cells[1] += 1
    children[2].join()
    cells[2] += 1
    assert list(cells) == [2, 2, 2]
