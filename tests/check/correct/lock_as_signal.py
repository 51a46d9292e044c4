# METHODS: fork thread

"""The child may go on when the parent gives back the lock: a gate, and no lock around anything."""

import multiprocessing as mp


def work(cells, gate):
    with gate:
        pass
    cells[0] += 1


if __name__ == "__main__":
    cells, gate = mp.RawArray("i", 1), mp.Lock()
    gate.acquire()
    child = mp.Process(target=work, args=(cells, gate))
    child.start()
    cells[0] += 1
    gate.release()
    child.join()
    assert cells[0] == 2
