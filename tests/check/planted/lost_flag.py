# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
"""The parent polls a flag that only the child sets."""

import multiprocessing
import time

finished = False


def work():
    global finished
    finished = True  # [write]


def main():
    process = multiprocessing.Process(target=work)
    process.start()
    end = time.monotonic() + 0.3
    while not finished and time.monotonic() < end:  # [read]
        time.sleep(0.01)
    process.join()


if __name__ == "__main__":
    main()
