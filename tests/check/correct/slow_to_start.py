"""A queue is waited for while its only producer is still starting, and then thinks."""
# METHODS: fork spawn forkserver thread

import time

import procession


def produce(queue):
    time.sleep(0.4)
    queue.put(1)


def main(method):
    ctx = procession.get_context(method)
    queue = ctx.Queue()
    child = ctx.Process(target=produce, args=(queue,))
    child.start()
    queue.get()
    child.join()


if __name__ == "__main__":
    main(procession.get_start_method())
