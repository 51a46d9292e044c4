# METHODS: fork spawn forkserver
"""A lock is acquired in one function and released in another; one is handed from a child to its parent."""

import multiprocessing


def begin(lock):
    lock.acquire()


def end(lock):
    lock.release()


def work(lock, baton, ready):
    begin(lock)
    try:
        print("inside", flush=True)
    finally:
        end(lock)
    baton.acquire()
    ready.set()


if __name__ == "__main__":
    lock, baton, ready = multiprocessing.Lock(), multiprocessing.Lock(), multiprocessing.Event()
    process = multiprocessing.Process(target=work, args=(lock, baton, ready))
    process.start()
    ready.wait()
    baton.release()
    process.join()
