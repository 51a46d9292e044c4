# METHODS: fork thread

"""Tasks write where nobody else does; the caller reads after each map, and writes before the next."""

import multiprocessing as mp

cells = None


def begin(array):
    global cells
    cells = array


def work(i):
    cells[i] = cells[i] * 2 + 1
    return i


if __name__ == "__main__":
    array = mp.RawArray("q", 40)
    with mp.Pool(2, begin, (array,)) as pool:
        for _ in range(3):
            pool.map(work, range(40), chunksize=3)
            assert len(set(array)) == 1
            for i in range(40):
                array[i] += 1
        list(pool.imap_unordered(work, range(40)))
        pool.apply_async(work, (3,)).get()
        assert array[3] == 2 * array[2] + 1
