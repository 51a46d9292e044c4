"""Two orders of two locks, but who does not get the second one gives up the first."""
# METHODS: fork spawn forkserver thread

import random
import time

import procession


def work(first, second, met):
    met.wait()
    while True:
        with first:
            if second.acquire(timeout=0.05):
                second.release()
                return
        time.sleep(random.random() / 10)


def main(method):
    ctx = procession.get_context(method)
    left, right, met = ctx.Lock(), ctx.Lock(), ctx.Barrier(2)
    parties = [ctx.Process(target=work, args=(*locks, met)) for locks in [(left, right), (right, left)]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
