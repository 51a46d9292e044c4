# EXPECT: race @ write, read

import multiprocessing as mp


def work(data, queue):
    data[0] = 1
    queue.put("ready")
    data[1] = 2  # [write]


if __name__ == "__main__":
    data, queue = mp.RawArray("i", 2), mp.Queue()
    child = mp.Process(target=work, args=(data, queue))
    child.start()
    queue.get()
    print(data[0])
    print(data[1])  # [read]
    child.join()
