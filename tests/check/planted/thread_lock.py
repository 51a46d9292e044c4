# METHODS: fork spawn forkserver
# EXPECT: lost-write @ start
"""A lock for threads is handed to processes, where each has one of its own."""

import multiprocessing
import threading


def work(lock, name):
    with lock:
        print(name, flush=True)


if __name__ == "__main__":
    lock = threading.Lock()
    processes = [multiprocessing.Process(target=work, args=(lock, name)) for name in ("one", "two")]
    try:
        for process in processes:
            process.start()  # [start]
    except (TypeError, AttributeError, ValueError) as error:
        print(f"cannot be sent: {type(error).__name__}")
    else:
        for process in processes:
            process.join()
