"""numpy: through queues, pipes and pools; views of shared arrays."""

import multiprocessing
import sys

import numpy


def double(queue, answer):
    for _ in range(3):
        array = queue.get()
        answer.put(array * 2)


def fill(shared):
    view = numpy.frombuffer(shared.get_obj(), dtype="d")
    view[:] += 1


def total(array):
    return array.sum()


def main():
    queue, answer = multiprocessing.Queue(), multiprocessing.Queue()
    child = multiprocessing.Process(target=double, args=(queue, answer))
    child.start()
    for array in (numpy.arange(6).reshape(2, 3), numpy.zeros((300, 300)), numpy.array([], dtype="f4")):
        queue.put(array)
        got = answer.get()
        print(got.shape, got.dtype, got.sum())
    got[...] = 1
    child.join()
    shared = multiprocessing.Array("d", 5)
    child = multiprocessing.Process(target=fill, args=(shared,))
    child.start()
    child.join()
    print(shared[:], numpy.frombuffer(shared.get_obj()).sum())
    raw = multiprocessing.RawArray("i", 4)
    numpy.frombuffer(raw, dtype="i4")[:] = 3
    print(list(raw), numpy.ctypeslib.as_array(raw).sum())
    with multiprocessing.Pool(1) as pool:
        print(pool.map(total, [numpy.ones((100, 1000)), numpy.ones(3)]))
    queue.put(numpy.arange(100000))
    array = queue.get()
    array[0] = 5
    array.sort()
    print(array[:3])


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
