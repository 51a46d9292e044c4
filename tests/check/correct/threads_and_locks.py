# METHODS: fork spawn forkserver
"""A threading lock that each process uses for its own threads, and is free when children are forked."""

import multiprocessing
import queue
import threading

lock = threading.RLock()
jobs = queue.Queue()
done = []


def serve():
    while (job := jobs.get()) is not None:
        with lock:
            done.append(job)


def run(numbers):
    thread = threading.Thread(target=serve)
    thread.start()
    for number in numbers:
        jobs.put(number)
    jobs.put(None)
    thread.join()
    return len(done)


def work(numbers, answers):
    answers.put(run(numbers))


if __name__ == "__main__":
    answers = multiprocessing.Queue()
    process = multiprocessing.Process(target=work, args=([1, 2, 3], answers))
    process.start()
    print(answers.get(), run([1, 2]))
    process.join()
