"""Locks and permits that are only ever taken by `repair()`, one of them from a process that died with it."""
# METHODS: fork spawn forkserver

import os
import signal

import procession


def add(lock, permit, total, counted, deadly):
    with lock.repair() as death:
        if death is not None:
            total.value = 0
        before = total.value
        if deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        total.value = before + 1
    with permit.repair():
        counted.value += 1


def main(method):
    ctx = procession.get_context(method)
    lock, permit = ctx.RLock(on_abandoned="raise"), ctx.Semaphore(1, on_abandoned="raise")
    total, counted = ctx.Value("i", 0, lock=False), ctx.Value("i", 0, lock=False)
    first = ctx.Process(target=add, args=(lock, permit, total, counted, True))
    first.start()
    first.join()
    others = [ctx.Process(target=add, args=(lock, permit, total, counted, False)) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert (total.value, counted.value) == (2, 2)


if __name__ == "__main__":
    main(procession.get_start_method())
