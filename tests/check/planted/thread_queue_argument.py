# METHODS: fork
# EXPECT: lost-write @ start
"""A queue for threads is handed to a process; only a fork lets that happen."""

import multiprocessing
import queue


def work(answers):
    answers.put(1)


if __name__ == "__main__":
    answers = queue.Queue()
    process = multiprocessing.Process(target=work, args=(answers,))
    process.start()  # [start]
    process.join()
    print(answers.qsize(), "answers")
