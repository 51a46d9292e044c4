# METHODS: fork forkserver
"""Children that have pools of their own, and keep what those give them."""

import multiprocessing

found = []


def leaf(number):
    return number + 1


def branch(numbers, answers):
    with multiprocessing.Pool(2) as pool:
        found.extend(pool.map(leaf, numbers))
    answers.put(sum(found))


if __name__ == "__main__":
    answers = multiprocessing.SimpleQueue()
    processes = [multiprocessing.Process(target=branch, args=(range(n), answers)) for n in (3, 4)]
    for process in processes:
        process.start()
    print(sorted(answers.get() for _ in processes))
    for process in processes:
        process.join()
