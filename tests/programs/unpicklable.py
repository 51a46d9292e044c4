"""What cannot be pickled."""

import multiprocessing
import pickle
import sys
import threading


def give_lambda():
    return lambda: 1


def identity(x):
    return x


class Odd(Exception):
    def __init__(self, a, b):
        super().__init__(a)


def raise_odd(_):
    raise Odd(1, 2)


def main():
    with multiprocessing.Pool(1) as pool:
        for wrong in (
            lambda: pool.map(identity, [threading.Lock()]),
            lambda: pool.apply(give_lambda),
            lambda: pool.apply(identity, (threading.Lock(),)),
            lambda: list(pool.imap(identity, [sys])),
        ):
            try:
                print(wrong())
            except Exception as error:
                print(type(error).__name__, error, file=sys.stderr)
                print("raised")
        print(pool.apply(identity, (1,)))
    reader, writer = multiprocessing.Pipe(False)
    try:
        writer.send(threading.Lock())
    except (TypeError, pickle.PicklingError) as error:
        print("not sent", reader.poll())
        print(type(error).__name__, error, file=sys.stderr)
    queue = multiprocessing.SimpleQueue()
    try:
        queue.put(threading.Lock())
    except (TypeError, pickle.PicklingError) as error:
        print("not put", queue.empty())
        print(type(error).__name__, error, file=sys.stderr)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
