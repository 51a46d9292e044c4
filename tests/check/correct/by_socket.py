"""Processes that talk through a listener's sockets."""

import multiprocessing as mp
from multiprocessing.connection import Client, Listener

data = mp.RawArray("i", 2)


def work(address):
    with Client(address, authkey=b"known") as end:
        data[0] = end.recv()
        end.send("written")
        end.recv()
        data[1] += 1


if __name__ == "__main__":
    with Listener(None, authkey=b"known") as listener:
        child = mp.Process(target=work, args=(listener.address,))
        child.start()
        with listener.accept() as end:
            end.send(3)
            end.recv()
            data[1] = data[0]
            end.send("go on")
        child.join()
    assert list(data) == [3, 4]
