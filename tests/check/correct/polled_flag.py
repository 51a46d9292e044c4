# METHODS: fork thread

"""A flag of one writer says that the data is there, and another that all shall stop."""

import multiprocessing as mp
import time


def work(data, ready, stop):
    for i in range(5):
        data[i] = i
    ready.value = 1
    while True:
        if stop.value:
            break
        time.sleep(0.001)
    data[0] = 9


if __name__ == "__main__":
    data, ready, stop = mp.RawArray("i", 5), mp.Value("i", 0), mp.RawValue("b", 0)
    child = mp.Process(target=work, args=(data, ready, stop))
    child.start()
    while not ready.value:
        time.sleep(0.001)
    assert list(data) == [0, 1, 2, 3, 4]
    data[1] = 5
    stop.value = 1
    child.join()
    assert data[0] == 9
