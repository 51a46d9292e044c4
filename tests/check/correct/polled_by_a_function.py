"""The flag is looked at in a function, and through a variable."""

import multiprocessing as mp
import time

data, ready, level = mp.RawArray("i", 3), mp.Value("b", 0), mp.Value("i", 0)


def is_ready():
    return ready.value == 1


def work():
    data[0] = 7
    ready.value = 1
    while True:
        seen = level.value
        if seen > 2:
            break
        time.sleep(0.001)
    data[1] += 1


if __name__ == "__main__":
    child = mp.Process(target=work)
    child.start()
    while not is_ready():
        time.sleep(0.001)
    assert data[0] == 7
    data[1] = 5
    for step in range(4):
        level.value = step
    child.join()
    assert data[1] == 6
