# METHODS: spawn

import multiprocessing as mp


def work(cells, end):
    while (i := end.recv()) is not None:
        cells[i] += 1
        end.send(i)


if __name__ == "__main__":
    cells = mp.RawArray("i", 5)
    here, there = mp.Pipe()
    child = mp.Process(target=work, args=(cells, there))
    child.start()
    for i in range(5):
        cells[i] = i
        here.send(i)
        here.recv()
        assert cells[i] == i + 1
    here.send(None)
    child.join()
