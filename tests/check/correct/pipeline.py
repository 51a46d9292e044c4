# METHODS: fork spawn forkserver thread
"""Stages joined by queues, each with counters of its own; the end is told by a message."""

import multiprocessing

DONE = None
handled = 0


def double(inbox, outbox):
    global handled
    while (item := inbox.get()) is not DONE:
        handled += 1
        outbox.put(item * 2)
    outbox.put(DONE)


def total(inbox, answers):
    number = 0
    while (item := inbox.get()) is not DONE:
        number += item
    answers.put(number)


def main():
    first, second, answers = (multiprocessing.Queue() for _ in range(3))
    stages = [
        multiprocessing.Process(target=double, args=(first, second)),
        multiprocessing.Process(target=total, args=(second, answers)),
    ]
    for stage in stages:
        stage.start()
    for number in range(100):
        first.put(number)
    first.put(DONE)
    print(answers.get())
    for stage in stages:
        stage.join()


if __name__ == "__main__":
    main()
