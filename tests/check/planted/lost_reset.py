# METHODS: fork
# EXPECT: lost-update @ update, reset

"""A counter is reset while it is counted up: the reset may be undone."""

import multiprocessing as mp


def work(hits):
    for _ in range(10):
        hits.value += 1  # [update]


if __name__ == "__main__":
    hits = mp.Value("i", 0)
    child = mp.Process(target=work, args=(hits,))
    child.start()
    hits.value = 0  # [reset]
    child.join()
