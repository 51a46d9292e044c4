"""Event, Condition, Barrier."""

import multiprocessing
import sys
import threading


def wait_event(event, ready, answer):
    ready.release()
    answer.put(event.wait(60))


def wait_condition(condition, number, ready, answer):
    with condition:
        ready.release()
        answer.put(condition.wait_for(lambda: number.value >= 3, timeout=60))


def meet(barrier, answer):
    answer.put(barrier.wait())


def meet_broken(barrier, answer):
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        answer.put("broken")


def act():
    pass


def main():
    answer, ready = multiprocessing.Queue(), multiprocessing.Semaphore(0)
    event = multiprocessing.Event()
    print(event.is_set(), event.wait(0), event.wait(0.01))
    child = multiprocessing.Process(target=wait_event, args=(event, ready, answer))
    child.start()
    ready.acquire()
    event.set()
    print(answer.get(), event.is_set(), event.wait())
    event.clear()
    print(event.is_set())
    child.join()

    condition, number = multiprocessing.Condition(), multiprocessing.Value("i", 0)
    children = [
        multiprocessing.Process(target=wait_condition, args=(condition, number, ready, answer)) for _ in range(2)
    ]
    for child in children:
        child.start()
        ready.acquire()
    for n in range(1, 4):
        with condition:
            number.value = n
            condition.notify_all()
    print([answer.get() for _ in children])
    for child in children:
        child.join()
    with condition:
        print(condition.wait(0.01), condition.wait_for(lambda: False, 0.01))
    for wrong in (condition.notify, condition.notify_all, condition.wait, condition.release):
        try:
            wrong()
        except AssertionError:
            print("AssertionError")
    other = multiprocessing.Condition(multiprocessing.Lock())
    print(other.acquire(), other.notify(), other.release())

    barrier = multiprocessing.Barrier(3, act, timeout=60)
    children = [multiprocessing.Process(target=meet, args=(barrier, answer)) for _ in range(2)]
    for child in children:
        child.start()
    print(sorted([barrier.wait(), answer.get(), answer.get()]), barrier.parties, barrier.n_waiting, barrier.broken)
    for child in children:
        child.join()
    child = multiprocessing.Process(target=meet_broken, args=(barrier, answer))
    child.start()
    barrier.abort()
    print(answer.get(), barrier.broken)
    child.join()
    try:
        barrier.wait()
    except threading.BrokenBarrierError:
        print("still broken")
    barrier.reset()
    print(barrier.broken)
    try:
        barrier.wait(0.01)
    except threading.BrokenBarrierError:
        print("nobody came", barrier.broken)


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
