# METHODS: spawn

"""Two buffers change roles at a barrier."""

import multiprocessing as mp


def work(buffers, barrier, number):
    for step in range(6):
        old, new = buffers[step % 2], buffers[1 - step % 2]
        new[number] = old[0] + old[1] + number
        barrier.wait()


if __name__ == "__main__":
    buffers, barrier = [mp.RawArray("q", 2), mp.RawArray("q", 2)], mp.Barrier(2)
    workers = [mp.Process(target=work, args=(buffers, barrier, number)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
