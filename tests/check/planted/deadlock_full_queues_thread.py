"""A thread and a process fill bounded queues for each other, and neither takes."""

# METHODS: fork spawn forkserver thread
# EXPECT: deadlock @ puts
import multiprocessing as mp
import threading


def flood(mine, other):
    for number in range(10):
        mine.put(number)  # [puts]
    for _ in range(10):
        other.get()


if __name__ == "__main__":
    a, b = mp.Queue(3), mp.Queue(3)
    t = threading.Thread(target=flood, args=(a, b))
    p = mp.Process(target=flood, args=(b, a))
    t.start()
    p.start()
    p.join()
    t.join()
