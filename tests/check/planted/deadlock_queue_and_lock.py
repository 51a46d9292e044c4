"""A consumer waits for an item with the lock held that the producer needs."""
# METHODS: fork spawn forkserver
# EXPECT: deadlock @ holds, gets, needs

import procession


def consume(queue, lock, met):
    with lock:  # [holds]
        met.wait()
        queue.get()  # [gets]


def produce(queue, lock, met):
    met.wait()
    with lock:  # [needs]
        queue.put(1)


def main(method):
    ctx = procession.get_context(method)
    queue, lock, met = ctx.Queue(), ctx.Lock(), ctx.Barrier(2)
    parties = [ctx.Process(target=target, args=(queue, lock, met)) for target in (consume, produce)]
    for party in parties:
        party.start()
    for party in parties:
        party.join()


if __name__ == "__main__":
    main(procession.get_start_method())
