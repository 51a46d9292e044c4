"""Value, Array, RawValue, RawArray with typecodes, ctypes types and structures."""

import ctypes
import multiprocessing
import sys
from multiprocessing import sharedctypes


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


def change(number, letters, points, raw, rawarray, text):
    number.value **= 2
    letters[0] = b"X"
    for point in points:
        point.x, point.y = point.y, point.x
    raw.value = 7
    for index in range(len(rawarray)):
        rawarray[index] *= 2
    with text.get_lock():
        text.value = text.value.upper()


def main():
    number = multiprocessing.Value("d", 1.5)
    letters = multiprocessing.Array("c", b"letters")
    points = multiprocessing.Array(Point, [(1.5, -6.25), (2.0, 3.0)])
    raw = multiprocessing.RawValue(ctypes.c_short, 5)
    rawarray = multiprocessing.RawArray("i", range(5))
    text = multiprocessing.Array("c", 10)
    text.value = b"hello"
    child = multiprocessing.Process(target=change, args=(number, letters, points, raw, rawarray, text))
    child.start()
    child.join()
    print(
        number.value,
        letters.value,
        letters.raw,
        [(p.x, p.y) for p in points],
        raw.value,
        rawarray[:],
        text.value,
        len(text),
    )
    ints = multiprocessing.Array("i", [5, 6, 7])
    print(ints[:], ints[1], ints[-1], len(ints), list(ints), ints[::2])
    ints[0:2] = [1, 2]
    print(ints[:], 7 in ints, sum(ints))
    for wrong in (
        lambda: ints[10],
        lambda: ints.__setitem__(0, "a"),
        lambda: ints.__setitem__(slice(0, 2), [1]),
        lambda: multiprocessing.Value("?!"),
        lambda: multiprocessing.Array("k", 3),
        lambda: multiprocessing.Array("i", -1),
        lambda: multiprocessing.RawArray("i", -1),
        lambda: multiprocessing.Array("i", "abc"),
        lambda: multiprocessing.Value("i", "x"),
        lambda: multiprocessing.Value("i", 1, lock=3),
        lambda: multiprocessing.Value("i", 1, 2),
        lambda: multiprocessing.Array("i", 2.5),
    ):
        try:
            print("ok", wrong())
        except Exception as error:
            print(isinstance(error, (AttributeError, LookupError, TypeError, ValueError)))
    point = multiprocessing.Value(Point, 1.0, 2.0)
    with point.get_lock():
        point.x += 1
    print(point.x, point.y, type(point.get_obj()).__name__)
    lock = multiprocessing.RLock()
    shared = multiprocessing.Value("i", 3, lock=lock)
    print(shared.get_lock() is lock, shared.value, shared.get_obj().value)
    with shared:
        shared.value += 1
    print(shared.value)
    overflow = multiprocessing.Value("b", 0)
    overflow.value = 200
    print(overflow.value)
    flag = multiprocessing.Value(ctypes.c_bool, True)
    print(flag.value)
    matrix = multiprocessing.RawArray(ctypes.c_int * 2, 2)
    matrix[1][1] = 4
    print([list(row) for row in matrix])
    copied = sharedctypes.copy(matrix)
    copied[0][0] = 1
    print([list(row) for row in matrix], ctypes.sizeof(rawarray))
    wide = multiprocessing.Value("u", "é")
    print(wide.value, multiprocessing.Array("u", "añb")[:])
    synced = sharedctypes.synchronized(multiprocessing.RawArray("d", 2))
    synced[0] = 1.5
    print(synced[:])


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
