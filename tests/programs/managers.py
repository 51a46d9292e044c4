"""Manager: the usual proxies, and a manager of one's own."""

import multiprocessing
import sys
from multiprocessing.managers import BaseManager


class Counter:
    def __init__(self):
        self.count = 0

    def add(self, n):
        self.count += n
        return self.count


class Own(BaseManager):
    pass


Own.register("Counter", Counter)


def work(d, items, namespace, lock, queue, value, array, event):
    d[1] = "1"
    d["2"] = 2
    items.reverse()
    with lock:
        namespace.x += 1
    queue.put("item")
    value.value += 1
    array[0] = 9
    event.set()


def count(counter):
    counter.add(5)


def main():
    with multiprocessing.Manager() as manager:
        d, items, namespace = manager.dict(), manager.list(range(4)), manager.Namespace()
        namespace.x = 1
        queue, value, array, event = manager.Queue(), manager.Value("i", 1), manager.Array("i", [1, 2]), manager.Event()
        lock = manager.Lock()  # the child may use it as long as this proxy lives
        child = multiprocessing.Process(target=work, args=(d, items, namespace, lock, queue, value, array, event))
        child.start()
        child.join()
        print(d, items, namespace.x, queue.get(), value.value, list(array), event.is_set())
        nested = manager.list([manager.dict(a=1)])
        nested[0]["b"] = 2
        print(nested[0].copy(), len(nested), d.keys(), 1 in d)
    with Own() as own:
        counter = own.Counter()
        child = multiprocessing.Process(target=count, args=(counter,))
        child.start()
        child.join()
        print(counter.add(1))


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
