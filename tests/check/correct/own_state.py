# METHODS: fork spawn forkserver
"""Each process has its own state in globals of the same name: what it was given, and what it made of it."""

import multiprocessing

data = None
name = "nobody"
settings = {"level": 1}


def work(given, label, answers):
    global data, name
    data = [number + 1 for number in given]
    name = label
    settings["level"] = 2
    answers.put((name, helper()))


def helper():
    return sum(data) * settings["level"]


if __name__ == "__main__":
    data = list(range(10))
    answers = multiprocessing.Queue()
    processes = []
    for name in ("one", "two"):
        process = multiprocessing.Process(target=work, args=(data, name, answers))
        process.start()
        processes.append(process)
    print(sorted(answers.get() for _ in processes))
    for process in processes:
        process.join()
    print(name, len(data))
