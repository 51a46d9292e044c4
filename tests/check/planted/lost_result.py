# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
"""The result of a computation is bound to a global, in functions below the target and below main."""

from multiprocessing import Process

result = None


def store(value):
    global result
    result = value  # [write]


def compute(number):
    store(number * number)


def report():
    if result is None:  # [read]
        print("no result")
    else:
        print(result)


def main():
    worker = Process(target=compute, args=(12,))
    worker.start()
    worker.join()
    report()


if __name__ == "__main__":
    main()
