# METHODS: fork
# EXPECT: copies @ send
"""The same list goes through a queue with every order."""

import multiprocessing


def work(orders, answers):
    while (order := orders.get()) is not None:
        number, numbers = order
        answers.put(numbers[number])


if __name__ == "__main__":
    numbers = list(range(500_000))
    orders, answers = multiprocessing.Queue(), multiprocessing.Queue()
    process = multiprocessing.Process(target=work, args=(orders, answers))
    process.start()
    for number in range(4):
        orders.put((number, numbers))  # [send]
    orders.put(None)
    print(sum(answers.get() for _ in range(4)))
    process.join()
