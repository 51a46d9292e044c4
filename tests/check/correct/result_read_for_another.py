# METHODS: fork thread

"""One thread waits for a long task and reads all answers meanwhile; another sees that its own result is there."""

import multiprocessing as mp
import threading
import time

cells = mp.RawArray("i", 1)
begun, gate = mp.Semaphore(0), mp.Event()


def hold():
    begun.release()
    gate.wait()


def work():
    cells[0] += 1


if __name__ == "__main__":
    with mp.Pool(2) as pool:
        waiter = threading.Thread(target=pool.apply, args=(hold,))
        waiter.start()
        begun.acquire()
        result = pool.apply_async(work)
        while not result.ready():
            time.sleep(0.005)
        cells[0] += 1
        assert cells[0] == 2
        gate.set()
        waiter.join()
