# METHODS: fork spawn forkserver
"""The standard executor on processes, with an initializer, a map and futures."""

import concurrent.futures
import multiprocessing
import os

scale = 1


def prepare(number):
    global scale
    scale = number


def work(number):
    return number * scale


def where(_):
    return os.getpid()


def main():
    context = multiprocessing.get_context()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context, initializer=prepare, initargs=(3,)) as executor:
        print(list(executor.map(work, range(5), chunksize=2)))
        futures = [executor.submit(work, number) for number in range(3)]
        print(sum(future.result() for future in concurrent.futures.as_completed(futures)))
        print(len(set(executor.map(where, range(4)))) <= 2, scale)


if __name__ == "__main__":
    main()
