# EXPECT: race @ write, read

"""The reader takes the lock, the writer does not."""

import multiprocessing as mp


def work(level, lock):
    level.value = 7.5  # [write]


if __name__ == "__main__":
    level, lock = mp.RawValue("d", 0), mp.Lock()
    child = mp.Process(target=work, args=(level, lock))
    child.start()
    with lock:
        print(level.value)  # [read]
    child.join()
