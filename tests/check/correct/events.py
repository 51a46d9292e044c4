import multiprocessing as mp
import time


def work(cells, ask, answered):
    ask.wait()
    cells[1] = cells[0] + 1
    answered.set()


if __name__ == "__main__":
    cells, ask, answered = mp.RawArray("i", 2), mp.Event(), mp.Event()
    child = mp.Process(target=work, args=(cells, ask, answered))
    child.start()
    cells[0] = 4
    ask.set()
    while not answered.is_set():
        time.sleep(0.001)
    assert cells[1] == 5
    child.join()
