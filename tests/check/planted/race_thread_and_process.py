"""A structure of bare memory, written by a thread and a process."""

# METHODS: fork spawn forkserver
# EXPECT: race @ thread, child
import ctypes
import multiprocessing as mp
import threading
import time


def in_child(v):
    for i in range(10):
        v.x = i  # [child]
        time.sleep(0.001)


def in_thread(v):
    for i in range(10):
        v.x = -i  # [thread]
        time.sleep(0.001)


class P(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_int)]


if __name__ == "__main__":
    v = mp.Value(P, 0, 0, lock=False)
    t = threading.Thread(target=in_thread, args=(v,))
    p = mp.Process(target=in_child, args=(v,))
    t.start()
    p.start()
    p.join()
    t.join()
