# METHODS: forkserver
# EXPECT: lost-update @ locked, bare

import multiprocessing as mp


def deposit(balance):
    with balance.get_lock():
        balance.value += 10  # [locked]


def main():
    balance = mp.Value("q", 100)
    child = mp.Process(target=deposit, args=(balance,))
    child.start()
    balance.value -= 10  # [bare]
    child.join()


if __name__ == "__main__":
    main()
