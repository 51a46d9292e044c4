# METHODS: fork spawn
"""Globals that must not be touched: a proxy with nothing behind it, a repr that fails, a list that is in itself."""

import multiprocessing


class Proxy:
    @property
    def __class__(self):
        raise RuntimeError("nothing is behind it")

    def __getattr__(self, name):
        raise RuntimeError("nothing is behind it")

    def __repr__(self):
        raise RuntimeError("nothing is behind it")

    def __eq__(self, other):
        raise RuntimeError("nothing is behind it")

    __hash__ = None


class Node:
    __slots__ = ("other",)


proxy = Proxy()
itself = [proxy]
itself.append(itself)
node = Node()
node.other = node


def work(number):
    itself.append(number)
    return number


def main():
    with multiprocessing.Pool(2) as pool:
        print(pool.map(work, range(3)))
    print(node.other is node)


if __name__ == "__main__":
    main()
