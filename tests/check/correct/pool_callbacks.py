"""Results arrive by callbacks, and several threads use one pool; each reads what its task wrote."""

import multiprocessing as mp
import threading

cells = mp.RawArray("i", 40)
seen = mp.RawArray("i", 4)


def work(i):
    cells[i] += 1
    return i


def use(pool, first):
    for i in pool.map(work, range(first, first + 10)):
        assert cells[i] == 1
        cells[i] = 0
    assert pool.apply(work, (first,)) == first
    cells[first] = 0


if __name__ == "__main__":
    with mp.Pool(2) as pool:
        threads = [threading.Thread(target=use, args=(pool, 10 * number)) for number in range(2)]
        for thread in threads:
            thread.start()
        asked = [
            pool.apply_async(work, (20 + i,), callback=lambda i: seen.__setitem__(i - 20, cells[i])) for i in range(4)
        ]
        for result in asked:
            result.wait()
            assert result.get() >= 20
        for thread in threads:
            thread.join()
    pool.join()
    assert list(seen) == [1] * 4
