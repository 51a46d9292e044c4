"""Two take two locks in opposite orders, and each has one."""
# METHODS: fork spawn forkserver thread
# EXPECT: deadlock @ first, second

import procession


def work(first, second, met):
    with first:  # [first]
        met.wait()
        with second:  # [second]
            pass


def main(method):
    ctx = procession.get_context(method)
    left, right, met = ctx.Lock(), ctx.RLock(), ctx.Barrier(2)
    parties = [ctx.Process(target=work, args=(*locks, met)) for locks in [(left, right), (right, left)]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
