# METHODS: thread
# EXPECT: lost-update @ one, two

import multiprocessing as mp


def deposit(balance, lock):
    with lock:
        balance.value += 10  # [one]


def withdraw(balance, lock):
    with lock:
        balance.value -= 10  # [two]


if __name__ == "__main__":
    balance = mp.Value("i", 100)
    first = mp.Process(target=deposit, args=(balance, mp.Lock()))
    second = mp.Process(target=withdraw, args=(balance, mp.Lock()))
    first.start()
    second.start()
    first.join()
    second.join()
