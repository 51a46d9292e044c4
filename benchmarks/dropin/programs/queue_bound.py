"""Producers and consumers: small orders go through one queue, the totals come back through another."""

import json
import multiprocessing
import time

ORDERS = 200_000
PRODUCERS = CONSUMERS = 2


def produce(first, orders):
    for number in range(first, ORDERS, PRODUCERS):
        orders.put({"number": number, "price": number % 100, "customer": f"c{number % 1000}"})


def consume(orders, totals):
    count = total = 0
    while (order := orders.get()) is not None:
        count += 1
        total += order["price"]
    totals.put((count, total))


def main():
    orders, totals = multiprocessing.Queue(), multiprocessing.Queue()
    begin = time.perf_counter()
    producers = [multiprocessing.Process(target=produce, args=(first, orders)) for first in range(PRODUCERS)]
    consumers = [multiprocessing.Process(target=consume, args=(orders, totals)) for _ in range(CONSUMERS)]
    for process in producers + consumers:
        process.start()
    for process in producers:
        process.join()
    for _ in consumers:
        orders.put(None)
    counts = [totals.get() for _ in consumers]
    for process in consumers:
        process.join()
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "answer": [sum(column) for column in zip(*counts, strict=True)]}))


if __name__ == "__main__":
    main()
