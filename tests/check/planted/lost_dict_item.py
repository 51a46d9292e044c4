# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
"""Processes put items into a dict, one after the other."""

import multiprocessing as mp

lengths = {}


def measure(word):
    lengths[word] = len(word)  # [write]


if __name__ == "__main__":
    words = ["red", "green", "blue"]
    processes = [mp.Process(target=measure, args=(word,)) for word in words]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    for word in words:
        print(word, lengths.get(word))  # [read]
