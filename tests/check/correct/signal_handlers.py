"""Handlers of signals end waits that nobody else would: for an item, and for a lock that is held by who waits."""
# METHODS: fork spawn

import multiprocessing
import signal


def in_a_moment(handler):
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)


def work(queue, results):
    in_a_moment(lambda number, frame: queue.put("from a handler"))
    results.put(queue.get())


if __name__ == "__main__":
    queue, results, lock = multiprocessing.Queue(), multiprocessing.Queue(), multiprocessing.Lock()
    process = multiprocessing.Process(target=work, args=(queue, results))
    process.start()
    process.join()
    lock.acquire()
    in_a_moment(lambda number, frame: lock.release())
    lock.acquire()
    lock.release()
    print(results.get())
