"""Two put into each other's queue, which is full, before they take from their own."""
# METHODS: fork spawn forkserver
# EXPECT: deadlock @ puts

import procession


def work(mine, other):
    for number in range(3):
        other.put(number)  # [puts]
    for _ in range(3):
        mine.get()


def main(method):
    ctx = procession.get_context(method)
    left, right = ctx.Queue(1), ctx.Queue(1)
    parties = [ctx.Process(target=work, args=queues) for queues in [(left, right), (right, left)]]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
