"""A Lock taken twice by one thread, through a helper."""

# METHODS: fork spawn forkserver thread
# EXPECT: deadlock @ outer, inner
import multiprocessing as mp


class Log:
    def __init__(self):
        self.lock = mp.Lock()

    def write(self, text):
        with self.lock:  # [inner]
            pass

    def rotate(self):
        with self.lock:  # [outer]
            self.write("rotated")


if __name__ == "__main__":
    log = Log()
    p = mp.Process(target=log.rotate)
    p.start()
    p.join()
