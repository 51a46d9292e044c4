# METHODS: fork spawn forkserver
# EXPECT: lock-at-exit @ acquired
"""A way out of a function leaves its lock taken."""

import multiprocessing
import warnings


def work(lock, number):
    lock.acquire()  # [acquired]
    if number > 1:
        return
    lock.release()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    lock = multiprocessing.Lock()
    process = multiprocessing.Process(target=work, args=(lock, 2))
    process.start()
    process.join()
    with lock:
        print("done")
