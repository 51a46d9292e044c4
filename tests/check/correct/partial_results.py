# METHODS: fork spawn forkserver
"""Globals that children change and whose values come back another way, or that the parent has no interest in."""

import argparse
import collections
import multiprocessing

options = None
counts = collections.Counter()
seen = set()
depth = 0


def setup(given):
    global options
    options = given


def walk(number):
    global depth
    depth += 1
    try:
        return 1 if number < 2 else walk(number - 1) + walk(number - 2)
    finally:
        depth -= 1


def count(words):
    counts.clear()
    for word in words:
        if options.fold:
            word = word.lower()
        counts[word] += 1
        seen.add(word)
    return dict(counts)


def run(given, number, answers):
    setup(given)
    answers.put((walk(number), options.fold))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fold", action="store_true")
    setup(parser.parse_args(["--fold"]))
    with multiprocessing.Pool(2, setup, (options,)) as pool:
        for part in pool.imap(count, [["a", "B"], ["b", "A"], ["c"]]):
            counts.update(part)
    print(sorted(counts.items()), options.fold)
    answers = multiprocessing.SimpleQueue()
    process = multiprocessing.Process(target=run, args=(options, 6, answers))
    process.start()
    print(answers.get(), depth)
    process.join()


if __name__ == "__main__":
    main()
