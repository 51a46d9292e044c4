"""Three locks of objects in three orders, in processes and a thread, one after another by events."""

# METHODS: fork spawn forkserver
# EXPECT: lock-order @ outer, inner
import multiprocessing as mp
import threading


class Node:
    def __init__(self):
        self.lock = mp.Lock()


def link(first, second, turn, done):
    turn.wait()
    first.lock.acquire()  # [outer]
    with second.lock:  # [inner]
        pass
    first.lock.release()
    done.set()


if __name__ == "__main__":
    nodes = [Node() for _ in range(3)]
    events = [mp.Event() for _ in range(4)]
    parties = [
        (threading.Thread if i == 1 else mp.Process)(
            target=link, args=(nodes[i], nodes[(i + 1) % 3], events[i], events[i + 1])
        )
        for i in range(3)
    ]
    for p in parties:
        p.start()
    events[0].set()
    for p in parties:
        p.join()
