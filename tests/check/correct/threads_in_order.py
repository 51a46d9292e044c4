"""Threads with the locks and queues of the standard library."""

import multiprocessing as mp
import queue
import threading
from concurrent.futures import ThreadPoolExecutor


def count(total, lock):
    for _ in range(20):
        with lock:
            total.value += 1


def take(cells, work, done):
    while (i := work.get()) is not None:
        cells[i] += 1
        done.put(i)


if __name__ == "__main__":
    total, cells, lock = mp.RawValue("i", 0), mp.RawArray("i", 4), threading.Lock()
    work, done = queue.Queue(), queue.SimpleQueue()
    threads = [threading.Thread(target=count, args=(total, lock)) for _ in range(2)]
    threads.append(threading.Thread(target=take, args=(cells, work, done)))
    for thread in threads:
        thread.start()
    for i in range(4):
        cells[i] = i
        work.put(i)
        assert cells[done.get()] == i + 1
    work.put(None)
    for thread in threads:
        thread.join()
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda i: cells.__setitem__(i, total.value), range(4)))
    assert list(cells) == [40] * 4
