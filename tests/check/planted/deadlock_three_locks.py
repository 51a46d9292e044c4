"""Three philosophers, each with one fork."""
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
    forks, met = [ctx.Lock() for _ in range(3)], ctx.Barrier(3)
    parties = [ctx.Process(target=work, args=(forks[i], forks[(i + 1) % 3], met)) for i in range(3)]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
