"""Two orders of two locks, with a third held around both."""
# METHODS: fork spawn forkserver thread

import time

import procession


def work(gate, first, second, pause_s):
    time.sleep(pause_s)
    with gate, first, second:
        pass


def main(method):
    ctx = procession.get_context(method)
    gate, left, right = ctx.Lock(), ctx.Lock(), ctx.Lock()
    parties = [ctx.Process(target=work, args=(gate, *args)) for args in [(left, right, 0), (right, left, 0.3)]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
