"""shared_memory and its manager beside our processes."""

import multiprocessing
import sys
from multiprocessing import shared_memory
from multiprocessing.managers import SharedMemoryManager


def write(name):
    block = shared_memory.SharedMemory(name=name)
    block.buf[:5] = b"child"
    block.close()


def change(values):
    values[0] = 9


def main():
    block = shared_memory.SharedMemory(create=True, size=64)
    child = multiprocessing.Process(target=write, args=(block.name,))
    child.start()
    child.join()
    print(bytes(block.buf[:5]))
    block.close()
    block.unlink()
    with SharedMemoryManager() as manager:
        values = manager.ShareableList([1, "two", 3.0, None])
        child = multiprocessing.Process(target=change, args=(values,))
        child.start()
        child.join()
        print(list(values))


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
