# METHODS: fork spawn
"""Children whose results come through a queue are left for the end of the program to join; one is polled."""

import multiprocessing
import time


def work(number, answers):
    answers.put(number)


if __name__ == "__main__":
    answers = multiprocessing.Queue()
    for number in range(3):
        multiprocessing.Process(target=work, args=(number, answers)).start()
    print(sorted(answers.get() for _ in range(3)))
    while multiprocessing.active_children():
        time.sleep(0.01)
    time.sleep(1.1)
