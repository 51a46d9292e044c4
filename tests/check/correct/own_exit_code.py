# METHODS: fork spawn
"""A child that ends by `sys.exit` and one that raises, which its parent asks for."""

import multiprocessing
import sys

state = {"tries": 0}


def leave():
    state["tries"] += 1
    sys.exit(3)


def fail():
    state["tries"] += 1
    sys.stderr.close()
    raise ValueError("as planned")


if __name__ == "__main__":
    codes = []
    for target in (leave, fail):
        process = multiprocessing.Process(target=target)
        process.start()
        process.join()
        codes.append(process.exitcode)
    print(codes)
