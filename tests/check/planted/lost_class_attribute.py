# METHODS: fork spawn forkserver
# EXPECT: lost-write @ write, read
"""A process's own `run` changes an attribute of a class."""

import multiprocessing


class Config:
    ready = False


class Worker(multiprocessing.Process):
    def run(self):
        Config.ready = True  # [write]


if __name__ == "__main__":
    worker = Worker()
    worker.start()
    worker.join()
    print("ready" if Config.ready else "not ready")  # [read]
