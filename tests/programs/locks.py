"""Lock, RLock, Semaphore, BoundedSemaphore: exclusion, misuse, context managers."""

import multiprocessing
import sys


def add(counter, lock, times):
    for _ in range(times):
        with lock:
            counter.value += 1


def attempt(lock, answer):
    answer.put(lock.acquire(False))
    answer.put(lock.acquire(timeout=0.01))
    answer.put(lock.acquire(True, 0.01))


def release(lock, answer):
    try:
        lock.release()
        answer.put("released")
    except Exception as error:
        answer.put((isinstance(error, (AssertionError, ValueError)), str(error)[:0]))


def main():
    counter, lock = multiprocessing.Value("i", 0, lock=False), multiprocessing.Lock()
    children = [multiprocessing.Process(target=add, args=(counter, lock, 300)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(counter.value)
    answer = multiprocessing.Queue()
    for kind in (
        multiprocessing.Lock,
        multiprocessing.RLock,
        multiprocessing.Semaphore,
        multiprocessing.BoundedSemaphore,
    ):
        lock = kind()
        print(kind.__name__, lock.acquire(), lock.acquire(block=False), lock.acquire(timeout=0.01))
        child = multiprocessing.Process(target=attempt, args=(lock, answer))
        child.start()
        print([answer.get() for _ in range(3)])
        child.join()
        child = multiprocessing.Process(target=release, args=(lock, answer))
        child.start()
        print(answer.get())
        child.join()
    for lock in (multiprocessing.Lock(), multiprocessing.RLock(), multiprocessing.BoundedSemaphore(2)):
        try:
            lock.release()
        except (ValueError, AssertionError) as error:
            print(isinstance(error, ValueError), isinstance(error, AssertionError), error)
    semaphore = multiprocessing.Semaphore(2)
    print(semaphore.get_value(), semaphore.acquire(), semaphore.get_value())
    semaphore.release()
    semaphore.release()
    print(semaphore.get_value())
    try:
        multiprocessing.Semaphore(-1)
    except (ValueError, OSError):
        print("negative")
    for lock in (
        multiprocessing.Lock(),
        multiprocessing.RLock(),
        multiprocessing.Semaphore(3),
        multiprocessing.BoundedSemaphore(3),
    ):
        print(lock)
        with lock:
            print(lock)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
