# METHODS: spawn
# EXPECT: race @ write, read

import ctypes
import multiprocessing as mp


class Point(ctypes.Structure):
    _fields_ = (("x", ctypes.c_double), ("y", ctypes.c_double))


def move(point):
    point.y = 2.0  # [write]


if __name__ == "__main__":
    point = mp.Value(Point, 1.0, 1.0, lock=False)
    child = mp.Process(target=move, args=(point,))
    child.start()
    print(point.x, point.y)  # [read]
    child.join()
