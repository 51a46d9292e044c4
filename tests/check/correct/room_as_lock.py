"""Readers and writers: a lock is taken under another one, kept beyond it, and given back under another hold of that."""

import multiprocessing as mp


def read(data, readers, mutex, room):
    for _ in range(10):
        with mutex:
            readers.value += 1
            if readers.value == 1:
                room.acquire()
        assert data[0] == data[1]
        with mutex:
            readers.value -= 1
            if readers.value == 0:
                room.release()


def write(data, room):
    for _ in range(10):
        with room:
            data[0] += 1
            data[1] += 1


if __name__ == "__main__":
    data, readers, mutex, room = mp.RawArray("i", 2), mp.RawValue("i", 0), mp.Lock(), mp.Lock()
    children = [mp.Process(target=read, args=(data, readers, mutex, room)) for _ in range(2)]
    children.append(mp.Process(target=write, args=(data, room)))
    for child in children:
        child.start()
    for child in children:
        child.join()
