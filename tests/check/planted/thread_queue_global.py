# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
"""A queue for threads, between processes."""

import queue
from multiprocessing import Process

answers = queue.Queue()


def work(number):
    answers.put(number + 1)  # [write]


if __name__ == "__main__":
    process = Process(target=work, args=(1,))
    process.start()
    process.join()
    try:
        print(answers.get(timeout=0.1))  # [read]
    except queue.Empty:
        print("nothing came")
