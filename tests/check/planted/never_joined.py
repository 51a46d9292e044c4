# METHODS: fork spawn
# EXPECT: never-joined @ start
"""A child ends, and its parent goes on for long without asking for it."""

import multiprocessing
import time


def work(ended):
    ended.put(True)


if __name__ == "__main__":
    ended = multiprocessing.SimpleQueue()
    process = multiprocessing.Process(target=work, args=(ended,))
    process.start()  # [start]
    ended.get()
    time.sleep(1.3)
    print("something else was done meanwhile")
