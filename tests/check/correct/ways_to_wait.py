"""All ways in which the end of a child is learnt order what it did before what its parent does then."""
# METHODS: fork spawn

import multiprocessing
import os
from multiprocessing.connection import wait


def work(cells):
    cells[0] = cells[0] + 1


def poll(process):
    while process in multiprocessing.active_children():
        pass


STANDARD = [
    lambda process: process.join(),
    lambda process: wait([process.sentinel]),
    poll,
]
SYSTEM = [
    lambda pid: os.waitpid(pid, 0),
    lambda pid: os.waitid(os.P_PID, pid, os.WEXITED),
    lambda pid: os.wait4(pid, 0),
    lambda pid: os.wait3(0),
    lambda pid: os.wait(),
]

if __name__ == "__main__":
    cells = multiprocessing.RawArray("i", 1)
    for ended in STANDARD:
        process = multiprocessing.Process(target=work, args=(cells,))
        process.start()
        ended(process)
        work(cells)
        process.join()
    for ended in SYSTEM:
        pid = os.fork()
        if pid == 0:
            work(cells)
            os._exit(0)
        ended(pid)
        work(cells)
    assert cells[0] == 16
