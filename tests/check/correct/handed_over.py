# METHODS: fork thread

"""Who has got the turn from the queue writes; then the other one."""

import multiprocessing as mp


def work(cells, turns, back):
    for _ in range(10):
        turn = turns.get()
        cells[0] += turn
        back.put(turn)


if __name__ == "__main__":
    cells, turns, back = mp.RawArray("i", 1), mp.Queue(), mp.SimpleQueue()
    child = mp.Process(target=work, args=(cells, turns, back))
    child.start()
    for i in range(10):
        cells[0] += 1
        turns.put(i)
        back.get()
    child.join()
    assert cells[0] == 55
