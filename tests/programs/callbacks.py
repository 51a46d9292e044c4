"""Pool used from threads, dummy pool, ThreadPool, several pools, pool as attribute, interrupted iteration."""

import itertools
import multiprocessing
import sys
import threading
from multiprocessing import dummy
from multiprocessing.pool import ThreadPool


def square(x):
    return x * x


class Holder:
    def __init__(self):
        self.pool = multiprocessing.Pool(1)

    def __getstate__(self):
        return {}

    def double(self, x):
        return 2 * x

    def run(self):
        return self.pool.map(self.double, [1, 2])


def main():
    with multiprocessing.Pool(2) as pool:
        results = {}
        threads = [
            threading.Thread(target=lambda n=n: results.update({n: pool.map(square, range(n))})) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(sorted(results.items()))
        lazy = pool.imap(square, iter(range(1000)))
        print(list(itertools.islice(lazy, 3)))
        done = threading.Event()
        pool.apply_async(square, (3,), callback=lambda value: (print("called with", value), done.set()))
        done.wait(60)
        pool.close()
        pool.join()
    holder = Holder()
    print(holder.run())
    holder.pool.close()
    holder.pool.join()
    with ThreadPool(2) as pool:
        print(pool.map(square, [1, 2]))
    with dummy.Pool(2) as pool:
        print(pool.map(square, [1, 2]))


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
