"""Queue, SimpleQueue, JoinableQueue."""

import multiprocessing
import queue
import sys


def produce(out, count):
    for number in range(count):
        out.put((number, str(number) * 3, {"n": number}))
    out.put(None)


def consume(tasks, done):
    while True:
        task = tasks.get()
        if task is None:
            tasks.task_done()
            return
        done.put(task * task)
        tasks.task_done()


def main():
    out = multiprocessing.Queue(4)
    child = multiprocessing.Process(target=produce, args=(out, 20))
    child.start()
    print(list(iter(out.get, None))[-1])
    child.join()
    print(out.empty(), out.full(), out.qsize())
    for number in range(4):
        out.put(number)
    print(out.full(), out.qsize())
    for wrong in (lambda: out.put(9, timeout=0.01), lambda: out.put(9, False), lambda: out.put_nowait(9)):
        try:
            wrong()
        except queue.Full as error:
            print("Full", isinstance(error, queue.Full))
    print([out.get(timeout=5) for _ in range(4)])
    for wrong in (lambda: out.get(timeout=0.01), lambda: out.get(False), out.get_nowait):
        try:
            wrong()
        except queue.Empty:
            print("Empty")
    out.close()
    out.join_thread()
    for use in (lambda: out.put(1), out.get):
        try:
            use()
        except (ValueError, OSError) as error:
            print("ValueError" if isinstance(error, ValueError) else type(error).__name__)

    tasks, done = multiprocessing.JoinableQueue(), multiprocessing.SimpleQueue()
    child = multiprocessing.Process(target=consume, args=(tasks, done))
    child.start()
    for number in range(5):
        tasks.put(number)
    tasks.join()
    print([done.get() for _ in range(5)], done.empty())
    tasks.put(None)
    tasks.join()
    child.join()
    try:
        tasks.task_done()
    except ValueError as error:
        print(error)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
