"""A child is joined before its large items are taken: documented as a deadlock of multiprocessing."""
# METHODS: fork spawn forkserver thread

import procession


def produce(queue):
    for number in range(20):
        queue.put(bytes([number]) * (1 << 20))


def main(method):
    ctx = procession.get_context(method)
    queue = ctx.Queue()
    child = ctx.Process(target=produce, args=(queue,))
    child.start()
    child.join()
    assert sum(len(queue.get()) for _ in range(20)) == 20 << 20


if __name__ == "__main__":
    main(procession.get_start_method())
