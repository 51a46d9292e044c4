# METHODS: thread
# EXPECT: lost-update @ read, write

"""Each access is locked, but another process comes in between."""

import multiprocessing as mp


def work(balance, lock):
    with lock:
        seen = balance.value  # [read]
    interest = seen // 10
    with lock:
        balance.value = seen + interest  # [write]


if __name__ == "__main__":
    balance, lock = mp.Value("i", 100), mp.Lock()
    workers = [mp.Process(target=work, args=(balance, lock)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
