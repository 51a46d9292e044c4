# METHODS: fork spawn forkserver thread
# EXPECT: lost-update @ update

import multiprocessing as mp


def work(balance):
    for _ in range(100):
        balance.value += 1  # [update]


if __name__ == "__main__":
    balance = mp.Value("i", 0)
    workers = [mp.Process(target=work, args=(balance,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
