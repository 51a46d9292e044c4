# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
"""A child adds to a number of its own."""

import multiprocessing

total = 0


def deposit(amount):
    global total
    total += amount  # [write]


if __name__ == "__main__":
    process = multiprocessing.Process(target=deposit, args=(5,))
    process.start()
    process.join()
    print("total is", total)  # [read]
