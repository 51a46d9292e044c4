"""Objects as attributes, in containers, through initializers and to grandchildren."""

import multiprocessing
import sys


class Job:
    def __init__(self, queue, lock, value):
        self.queue, self.lock, self.value = queue, lock, value

    def run(self):
        with self.lock:
            self.value.value += 1
            number = self.value.value
        self.queue.put(number)


def setup(job, event):
    global shared, go
    shared, go = job, event


def work(_):
    go.wait()
    shared.run()


def grandchild(job):
    child = multiprocessing.Process(target=job.run)
    child.start()
    child.join()


def main():
    job = Job(multiprocessing.Queue(), multiprocessing.Lock(), multiprocessing.Value("i", 0))
    child = multiprocessing.Process(target=grandchild, args=(job,))
    child.start()
    print(job.queue.get())
    child.join()
    event = multiprocessing.Event()
    with multiprocessing.Pool(2, setup, (job, event)) as pool:
        waiting = pool.map_async(work, range(4))
        event.set()
        waiting.get(60)
    print(sorted(job.queue.get() for _ in range(4)), job.value.value)
    queues = {"in": multiprocessing.JoinableQueue(), "out": [multiprocessing.SimpleQueue()]}
    child = multiprocessing.Process(target=route, kwargs={"queues": queues})
    child.start()
    queues["in"].put("a")
    queues["in"].join()
    print(queues["out"][0].get())
    child.join()


def route(queues):
    item = queues["in"].get()
    queues["out"][0].put(item * 2)
    queues["in"].task_done()


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
