# EXPECT: lost-update @ update

import multiprocessing as mp
import threading


def work(hits):
    for _ in range(10):
        hits.value += 1  # [update]


if __name__ == "__main__":
    hits = mp.RawValue("i", 0)
    child = mp.Process(target=work, args=(hits,))
    child.start()
    thread = threading.Thread(target=work, args=(hits,))
    thread.start()
    thread.join()
    child.join()
