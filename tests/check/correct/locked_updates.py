# METHODS: fork spawn forkserver thread

import multiprocessing as mp


def work(balance, raw, lock):
    for _ in range(50):
        with balance.get_lock():
            balance.value += 1
        with lock:
            raw.value += 1
            raw.value = raw.value * 2


if __name__ == "__main__":
    balance, raw, lock = mp.Value("i", 0), mp.RawValue("q", 0), mp.Lock()
    workers = [mp.Process(target=work, args=(balance, raw, lock)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert balance.value == 100
