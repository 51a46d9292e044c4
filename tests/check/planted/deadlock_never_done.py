"""A joinable queue is joined, and whoever took the item has ended without task_done()."""
# METHODS: fork spawn forkserver
# EXPECT: nobody-can-fill @ joins

import procession


def work(queue):
    queue.get()


def main(method):
    ctx = procession.get_context(method)
    queue = ctx.JoinableQueue()
    child = ctx.Process(target=work, args=(queue,))
    child.start()
    queue.put(1)
    child.join()
    queue.join()  # [joins]


if __name__ == "__main__":
    main(procession.get_start_method())
