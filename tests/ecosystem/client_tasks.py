"""What clients are given to do in these tests: importable, so that workers of every start method find it."""

import os
import time
from typing import Any


class Picky(Exception):
    """An exception that only its own arguments make again."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(left, right)
        self.left, self.right = left, right


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise Picky(number, 4)
    return number


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), 9)
    return number


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def set_variable(name: str, value: str) -> None:
    os.environ[name] = value


def pid(_: Any = None) -> int:
    return os.getpid()


def mapping_of(array: Any) -> list[str]:
    """The fields of the line about an array's memory in the list of this process's mappings."""
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as file:
        for line in file:
            low, high = (int(word, 16) for word in line.split()[0].split("-"))
            if low <= address < high:
                return line.split()
    raise AssertionError("an array outside of all mappings")


def is_view_on_shared_memory(array: Any) -> bool:
    return "memfd:procession" in " ".join(mapping_of(array))


def mapped_at(array: Any) -> tuple[tuple[str, int], bool, float]:
    """Where an array lies (the inode of a file and the place in it), whether it may be written, its sum."""
    span, _, offset, _, inode, *_ = mapping_of(array)
    place = int(offset, 16) + array.__array_interface__["data"][0] - int(span.split("-")[0], 16)
    return (inode, place), bool(array.flags.writeable), float(array.sum())


def frame_sum(frame: Any) -> float:
    return float(frame.to_numpy().sum())


def twice(frame: Any) -> Any:
    return frame * 2


def block_is_view(frame: Any) -> bool:
    return is_view_on_shared_memory(frame.to_numpy())
