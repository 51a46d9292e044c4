"""Every method of Pool."""

import multiprocessing
import os
import sys
import time

started = None


def begin(value):
    global started
    started = value


def seen(_):
    return started


def square(x):
    return x * x


def power(x, y=2, *, plus=0):
    return x**y + plus


def inverse(x):
    return 1 / x


def slow(_):
    time.sleep(60)


def pid(_):
    return os.getpid()


def main():
    with multiprocessing.Pool(2, begin, ("here",)) as pool:
        print(pool.map(square, range(10)), pool.map(square, []), pool.map(square, iter([3, 4]), chunksize=1))
        print(pool.apply(power, (2,), {"plus": 1}), pool.apply(power, (2, 5)))
        print(pool.starmap(power, [(1, 2), (3, 4)]), pool.map(seen, [0]))
        print(list(pool.imap(square, range(7), 3)), sorted(pool.imap_unordered(square, range(7))))
        result = pool.apply_async(square, (5,))
        print(result.get(timeout=60), result.ready(), result.successful())
        called = []
        many = pool.map_async(square, [1, 2, 3], callback=called.append)
        print(many.get(60))
        single = pool.starmap_async(power, [(2, 3)], callback=called.append)
        print(single.get(60))
        failed = pool.apply_async(inverse, (0,), error_callback=called.append)
        failed.wait(60)
        print(failed.ready(), failed.successful())
        for fails in (
            failed.get,
            lambda: pool.map(inverse, [1, 0]),
            lambda: pool.apply(inverse, ("a",)),
            lambda: list(pool.imap(inverse, [0])),
        ):
            try:
                fails()
            except (ZeroDivisionError, TypeError) as error:
                print(type(error).__name__, error, type(error.__cause__).__name__)
        steps = pool.imap(inverse, [1, 0, 2])
        print(next(steps))
        try:
            next(steps)
        except ZeroDivisionError:
            print("zero")
        print(steps.next(timeout=60))
        try:
            next(steps)
        except StopIteration:
            print("stop")
        waiting = pool.apply_async(slow, (0,))
        try:
            waiting.get(0.01)
        except multiprocessing.TimeoutError:
            print("TimeoutError", waiting.ready())
        try:
            waiting.successful()
        except ValueError:
            print("not ready")
        try:
            pool.imap(slow, [0]).next(0.01)
        except multiprocessing.TimeoutError:
            print("TimeoutError")
    print([str(type(x).__name__) if isinstance(x, Exception) else x for x in called])
    try:
        pool.map(square, [1])
    except ValueError as error:
        print("ValueError", error)
    pool = multiprocessing.Pool(1, maxtasksperchild=1)
    print(len(set(pool.map(pid, range(3), chunksize=1))))
    try:
        pool.join()
    except ValueError as error:
        print("ValueError", error)
    pool.close()
    pool.join()
    for wrong in (
        lambda: multiprocessing.Pool(0),
        lambda: multiprocessing.Pool(-2),
        lambda: multiprocessing.Pool(1, 5),
        lambda: multiprocessing.Pool(1, maxtasksperchild=0),
        lambda: pool.apply(square),
    ):
        try:
            print(wrong())
        except Exception as error:
            print(type(error).__name__)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
