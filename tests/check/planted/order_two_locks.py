"""Two orders of two locks that do not meet today."""
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
    left, right = ctx.Lock(), ctx.Lock()
    parties = [ctx.Process(target=work, args=args) for args in [(left, right, 0), (right, left, 0.5)]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
