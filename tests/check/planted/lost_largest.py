"""The largest so far, looked at and then written: a larger one may come between."""
# METHODS: fork spawn forkserver thread
# EXPECT: lost-update @ test, set

import multiprocessing as mp
import time


def work(best, first, turn):
    for number in range(first, 21, 2):
        turn.wait()
        time.sleep(first / 100)  # the smaller one comes first, as a rule
        if number > best.value:  # [test]
            best.value = number  # [set]


if __name__ == "__main__":
    best, turn = mp.Value("i", 0), mp.Barrier(2)
    workers = [mp.Process(target=work, args=(best, first, turn)) for first in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
