# METHODS: forkserver
# EXPECT: race @ bare, locked

"""get_obj() goes past the lock of an array."""

import multiprocessing as mp


def work(data):
    data.get_obj()[1] = 5  # [bare]


if __name__ == "__main__":
    data = mp.Array("i", 3)
    child = mp.Process(target=work, args=(data,))
    child.start()
    data[1] = 6  # [locked]
    child.join()
