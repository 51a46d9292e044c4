"""A thread waits for items of a process that was killed."""

# METHODS: fork spawn forkserver
# EXPECT: nobody-can-fill @ gets, joins
import multiprocessing as mp
import os
import threading


def produce(q):
    q.put(1)
    os.kill(os.getpid(), 9)


def consume(q):
    while q.get() is not None:  # [gets]
        pass


if __name__ == "__main__":
    q = mp.Queue()
    p = mp.Process(target=produce, args=(q,))
    t = threading.Thread(target=consume, args=(q,))
    t.start()
    p.start()
    p.join()
    t.join()  # [joins]
