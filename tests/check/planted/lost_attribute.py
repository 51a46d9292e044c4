# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write
"""A method changes an attribute of a global object."""

from multiprocessing import Process


class Statistics:
    def __init__(self):
        self.hits = 0
        self.title = "hits"

    def count(self):
        self.hits += 1  # [write]

    def summary(self):
        return f"{self.title}: {self.hits}"


statistics = Statistics()


def work():
    for _ in range(3):
        statistics.count()


if __name__ == "__main__":
    worker = Process(target=work)
    worker.start()
    worker.join()
    print(statistics.summary())
