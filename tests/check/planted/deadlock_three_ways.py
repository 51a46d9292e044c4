"""Three processes and threads: one holds what another needs, which a third waits for, whose end the first waits for."""

# METHODS: fork spawn forkserver thread
# EXPECT: deadlock @ holds, joins, gets, needs
import multiprocessing as mp


def b(queue):
    queue.get()  # [gets]


def c(queue, lock):
    with lock:  # [needs]
        queue.put(1)


if __name__ == "__main__":
    lock, queue = mp.Lock(), mp.Queue()
    with lock:  # [holds]
        pb = mp.Process(target=b, args=(queue,))
        pc = mp.Process(target=c, args=(queue, lock))
        pb.start()
        pc.start()
        pb.join()  # [joins]
    pc.join()
    pb.join()
