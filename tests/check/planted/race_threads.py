# METHODS: fork
# EXPECT: race @ one, two

import multiprocessing as mp
import threading


def first(cells, lock):
    with lock:
        cells[3] = 1  # [one]


def second(cells):
    cells[3] = 2  # [two]


if __name__ == "__main__":
    cells, lock = mp.RawArray("i", 8), threading.Lock()
    threads = [threading.Thread(target=first, args=(cells, lock)), threading.Thread(target=second, args=(cells,))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
