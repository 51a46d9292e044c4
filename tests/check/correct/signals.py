"""A lock and a semaphore that one takes and the other gives back: they are signals."""
# METHODS: fork spawn forkserver thread

import time

import procession


def work(lock, semaphore):
    time.sleep(0.2)
    lock.release()
    time.sleep(0.2)
    semaphore.release()


def main(method):
    ctx = procession.get_context(method)
    lock, semaphore = ctx.Lock(), ctx.Semaphore(0)
    lock.acquire()
    party = ctx.Process(target=work, args=(lock, semaphore))
    party.start()
    lock.acquire()
    semaphore.acquire()
    party.join()
    lock.release()


if __name__ == "__main__":
    main(procession.get_start_method())
