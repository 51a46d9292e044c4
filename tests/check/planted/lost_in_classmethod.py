"""A class method, called by a task, adds to a set of its class."""

# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
import multiprocessing as mp


class Registry:
    seen = frozenset()

    @classmethod
    def add(cls, item):
        cls.seen = cls.seen | {item}  # [write]


def work(item):
    Registry.add(item)
    return item


if __name__ == "__main__":
    with mp.Pool(2) as pool:
        pool.map(work, range(10))
    print(len(Registry.seen))  # [read]
