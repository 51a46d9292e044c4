"""Four locks, two processes with two threads each: a ring of four."""
# METHODS: fork spawn forkserver thread
# EXPECT: deadlock @ first, second

import threading

import procession


def work(first, second, met):
    with first:  # [first]
        met.wait()
        with second:  # [second]
            pass


def both(locks, met):
    threads = [threading.Thread(target=work, args=(*pair, met)) for pair in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(method):
    ctx = procession.get_context(method)
    a, b, c, d = [ctx.Lock() for _ in range(4)]
    met = ctx.Barrier(4)
    parties = [ctx.Process(target=both, args=(locks, met)) for locks in [((a, b), (c, d)), ((b, c), (d, a))]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
