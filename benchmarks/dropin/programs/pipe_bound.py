"""Questions and answers over a pipe."""

import json
import multiprocessing
import time

QUESTIONS = 20_000


def answer(connection):
    while (question := connection.recv()) is not None:
        connection.send(question * 2)


def main():
    here, there = multiprocessing.Pipe()
    child = multiprocessing.Process(target=answer, args=(there,))
    begin = time.perf_counter()
    child.start()
    total = 0
    for number in range(QUESTIONS):
        here.send(number)
        total += here.recv()
    here.send(None)
    child.join()
    print(json.dumps({"seconds": time.perf_counter() - begin, "answer": total}))


if __name__ == "__main__":
    main()
