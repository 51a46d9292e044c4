# METHODS: forkserver

import multiprocessing as mp


def deposit(balance, lock, amount):
    with lock:
        balance.value += amount


def work(balance, lock):
    for _ in range(20):
        with lock:
            seen = balance.value
            deposit(balance, lock, 5)
            balance.value = seen + 1


if __name__ == "__main__":
    balance, lock = mp.RawValue("i", 0), mp.RLock()
    workers = [mp.Process(target=work, args=(balance, lock)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert balance.value == 40
