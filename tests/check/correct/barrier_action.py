# METHODS: fork thread
"""What the barrier's action does is between what all did before and what they do after."""

import multiprocessing as mp

data = mp.RawArray("i", 3)


def gather():
    data[2] = data[0] + data[1]


def work(number, barrier):
    for step in range(4):
        data[number] = step
        barrier.wait()
        assert data[2] == 2 * step
        barrier.wait()


if __name__ == "__main__":
    barrier = mp.Barrier(2, gather)
    children = [mp.Process(target=work, args=(number, barrier)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
