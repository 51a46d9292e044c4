"""Many take the same locks in one order, nested, again and again."""
# METHODS: fork spawn forkserver thread

import procession


def work(locks, total):
    for number in range(200):
        with locks[number % 2], locks[2]:
            total.value += 1


def main(method):
    ctx = procession.get_context(method)
    locks, total = [ctx.Lock(), ctx.RLock(), ctx.Lock()], ctx.Value("i", 0)
    parties = [ctx.Process(target=work, args=(locks, total)) for _ in range(4)]
    for party in parties:
        party.start()
    for party in parties:
        party.join()
    print(total.value)


if __name__ == "__main__":
    main(procession.get_start_method())
