"""Four locks in a circle, of two processes and two threads."""
# METHODS: fork spawn forkserver thread
# EXPECT: deadlock @ first, second

import threading

import procession


def work(first, second, met):
    with first:  # [first]
        met.wait()
        with second:  # [second]
            pass


def main(method):
    ctx = procession.get_context(method)
    locks, met = [ctx.Lock() for _ in range(4)], ctx.Barrier(4)
    kinds = [threading.Thread, ctx.Process] * 2
    parties = [kind(target=work, args=(locks[i], locks[(i + 1) % 4], met)) for i, kind in enumerate(kinds)]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
