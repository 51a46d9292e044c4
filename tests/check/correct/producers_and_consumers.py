"""A condition, bounded queues and a barrier, all waited for by turns."""
# METHODS: fork spawn forkserver thread

import procession


def produce(queue, condition, started):
    with condition:
        started.value += 1
        condition.notify_all()
    for number in range(50):
        queue.put(number)
    queue.put(None)


def consume(queue, condition, started):
    with condition:
        condition.wait_for(lambda: started.value)
    while queue.get() is not None:
        pass


def main(method):
    ctx = procession.get_context(method)
    queue, condition, started = ctx.Queue(2), ctx.Condition(), ctx.Value("i", 0)
    parties = [ctx.Process(target=target, args=(queue, condition, started)) for target in (produce, consume)]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
