"""Two semaphores of one permit each, taken in opposite orders."""
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
    left, right, met = ctx.Semaphore(1), ctx.BoundedSemaphore(1), ctx.Barrier(2)
    parties = [ctx.Process(target=work, args=(*both, met)) for both in [(left, right), (right, left)]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
