import multiprocessing as mp


def work(cells, lock):
    for _ in range(5):
        with lock:
            cells[0] += 1


if __name__ == "__main__":
    with mp.Manager() as manager:
        cells, lock = mp.RawArray("i", 1), manager.Lock()
        workers = [mp.Process(target=work, args=(cells, lock)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert cells[0] == 10
