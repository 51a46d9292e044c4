# METHODS: thread

import multiprocessing as mp


def work(total, mutex):
    for _ in range(30):
        with mutex:
            total.value += 1
        mutex.acquire()
        total.value -= 1
        mutex.release()


if __name__ == "__main__":
    total, mutex = mp.RawValue("i", 0), mp.Semaphore(1)
    workers = [mp.Process(target=work, args=(total, mutex)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert total.value == 0
