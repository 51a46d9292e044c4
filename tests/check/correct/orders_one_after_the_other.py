"""Two orders of two locks, of which one is over before the other begins."""
# METHODS: fork spawn forkserver thread

import procession


def work(first, second):
    with first, second:
        pass


def main(method):
    ctx = procession.get_context(method)
    left, right = ctx.Lock(), ctx.Lock()
    work(left, right)
    for locks in [(right, left), (left, right)]:
        party = ctx.Process(target=work, args=locks)
        party.start()
        party.join()
    work(right, left)


if __name__ == "__main__":
    main(procession.get_start_method())
