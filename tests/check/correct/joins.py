"""Ends that are waited for, of what runs and is helped by nobody."""
# METHODS: thread spawn fork forkserver

import multiprocessing
import threading
import time


def work():
    time.sleep(0.2)


if __name__ == "__main__":
    for begin in (multiprocessing.Process, threading.Thread):
        started = begin(target=work)
        started.start()
        while started.is_alive():
            started.join(timeout=0.05)
    process = multiprocessing.Process(target=work)
    process.start()
    process.join()
    assert (process.exitcode, process.is_alive()) == (0, False)
    last = threading.Thread(target=work)  # the interpreter waits for it
    last.start()
