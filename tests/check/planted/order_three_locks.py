"""Three orders of three locks that close a circle."""
# METHODS: fork spawn forkserver thread
# EXPECT: lock-order @ first, second

import time

import procession


def work(first, second, pause_s):
    time.sleep(pause_s)
    first.acquire()  # [first]
    second.acquire()  # [second]
    second.release()
    first.release()


def main(method):
    ctx = procession.get_context(method)
    a, b, c = ctx.Lock(), ctx.RLock(), ctx.Lock()
    parties = [ctx.Process(target=work, args=args) for args in [(a, b, 0), (b, c, 0.3), (c, a, 0.6)]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
