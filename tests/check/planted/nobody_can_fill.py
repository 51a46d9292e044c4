"""A consumer waits for one item more than the producer, which has ended, has put."""
# METHODS: fork spawn forkserver thread
# EXPECT: nobody-can-fill @ gets

import procession


def produce(queue):
    for number in range(3):
        queue.put(number)


def main(method):
    ctx = procession.get_context(method)
    queue = ctx.Queue()
    producer = ctx.Process(target=produce, args=(queue,))
    producer.start()
    producer.join()
    for _ in range(4):
        queue.get()  # [gets]


if __name__ == "__main__":
    main(procession.get_start_method())
