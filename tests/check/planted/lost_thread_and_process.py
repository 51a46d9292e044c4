# METHODS: spawn
# EXPECT: lost-update @ update

import multiprocessing as mp
import threading


def work(hits):
    hits.value += 1  # [update]


if __name__ == "__main__":
    hits = mp.Value("i", 0)
    child = mp.Process(target=work, args=(hits,))
    child.start()
    thread = threading.Thread(target=work, args=(hits,))
    thread.start()
    thread.join()
    child.join()
