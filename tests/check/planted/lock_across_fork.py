# METHODS: fork
# EXPECT: lock-across-fork @ start, child, holder
"""A child is forked while another thread is in the middle of what a lock guards."""

import multiprocessing
import threading

lock = threading.Lock()
inside, leave = threading.Event(), threading.Event()


def hold():
    with lock:
        inside.set()
        leave.wait()  # [holder]


def work():
    with lock:  # [child]
        print("never")


if __name__ == "__main__":
    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    process = multiprocessing.Process(target=work)
    process.start()  # [start]
    leave.set()
    thread.join()
    process.join(0.3)
    process.terminate()
    process.join()
