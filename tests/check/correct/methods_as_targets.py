"""Methods of shared objects as what a process or a task is to call: they are sent by their names."""
# METHODS: spawn fork forkserver

import multiprocessing


def run(target, *args):
    process = multiprocessing.Process(target=target, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0, target


if __name__ == "__main__":
    event, barrier = multiprocessing.Event(), multiprocessing.Barrier(1)
    semaphore, queue, joinable = multiprocessing.Semaphore(1), multiprocessing.Queue(), multiprocessing.JoinableQueue()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    run(queue.put, 1)
    run(joinable.put, 2)
    run(sender.send, 3)
    run(event.set)
    run(event.wait)
    run(semaphore.acquire)
    run(semaphore.release)
    run(barrier.wait)
    print(queue.get(), joinable.get(), receiver.recv(), event.is_set())
