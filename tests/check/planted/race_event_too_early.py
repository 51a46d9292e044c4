# METHODS: thread
# EXPECT: race @ write, read

import multiprocessing as mp


def work(data, ready):
    ready.set()
    data[0] = 1.5  # [write]


if __name__ == "__main__":
    data, ready = mp.Array("d", 3, lock=False), mp.Event()
    child = mp.Process(target=work, args=(data, ready))
    child.start()
    ready.wait()
    print(data[0])  # [read]
    child.join()
