# METHODS: fork spawn
# EXPECT: lost-update @ update

import multiprocessing as mp

done = both = None


def begin(value, barrier):
    global done, both
    done, both = value, barrier


def work(number):
    both.wait()  # so that each of the two workers has one task
    done.value += number  # [update]
    return number


if __name__ == "__main__":
    value, barrier = mp.Value("i", 0), mp.Barrier(2)
    with mp.Pool(2, begin, (value, barrier)) as pool:
        pool.map(work, range(2), chunksize=1)
