# METHODS: fork spawn forkserver thread
"""A daemonic child ticks until it is told to stop; another one is left to end with its parent."""

import multiprocessing

ticks = 0


def tick(stop, ticked):
    global ticks
    while not stop.wait(0.01):
        ticks += 1
        ticked.set()


def main():
    stop, ticked = multiprocessing.Event(), multiprocessing.Event()
    process = multiprocessing.Process(target=tick, args=(stop, ticked), daemon=True)
    process.start()
    multiprocessing.Process(target=tick, args=(stop, ticked), daemon=True).start()
    ticked.wait()
    stop.set()
    process.join()


if __name__ == "__main__":
    main()
