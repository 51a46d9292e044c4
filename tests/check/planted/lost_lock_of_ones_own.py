"""A lock for each process is none at all."""

# METHODS: fork spawn forkserver thread
# EXPECT: lost-update @ update
import multiprocessing as mp


class Stats:
    def __init__(self):
        self.lock = mp.Lock()  # one each: no lock at all


def work(total, stats):
    for _ in range(50):
        with stats.lock:
            total.value += 1  # [update]


if __name__ == "__main__":
    total = mp.Value("i", 0)
    ps = [mp.Process(target=work, args=(total, Stats())) for _ in range(2)]
    for p in ps:
        p.start()
    for p in ps:
        p.join()
