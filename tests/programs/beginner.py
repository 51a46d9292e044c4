"""The first program of everyone: a global that stays empty, output of children, daemons."""

import multiprocessing
import sys

result = []


def square(numbers):
    for number in numbers:
        result.append(number * number)
    print("in the child:", result, flush=True)


def report_daemon(queue):
    queue.put(multiprocessing.current_process().daemon)


def main():
    child = multiprocessing.Process(target=square, args=([1, 2, 3],))
    child.start()
    child.join()
    print("in the parent:", result)
    queue = multiprocessing.Queue()
    child = multiprocessing.Process(target=report_daemon, args=(queue,), daemon=True)
    child.start()
    print(queue.get())
    child.join()
    print(
        multiprocessing.cpu_count() >= 1,
        multiprocessing.get_all_start_methods(),
        multiprocessing.get_start_method() == sys.argv[1],
    )
    multiprocessing.freeze_support()
    try:
        multiprocessing.set_start_method("spawn")
    except RuntimeError as error:
        print(error)
    try:
        multiprocessing.get_context("steam")
    except ValueError:
        print("ValueError")


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
