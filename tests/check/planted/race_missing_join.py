# METHODS: spawn
# EXPECT: race @ write, read

import multiprocessing as mp


def work(answer):
    answer.value = 42  # [write]


if __name__ == "__main__":
    answer = mp.RawValue("i", 0)
    child = mp.Process(target=work, args=(answer,))
    child.start()
    print(answer.value)  # [read]
    child.join()
