# METHODS: forkserver

import multiprocessing as mp


def work(answer, given):
    answer.value = given[0] * given[1]


if __name__ == "__main__":
    answer, given = mp.RawValue("i", 0), mp.RawArray("i", [6, 7])
    given[1] = 8
    child = mp.Process(target=work, args=(answer, given))
    child.start()
    child.join()
    answer.value += 1
    given[0] = answer.value
    assert given[0] == 49
