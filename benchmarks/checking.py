"""How much slower a program runs under `procession check` than under `procession run`.

    python benchmarks/checking.py [ROUNDS]

Each body is a whole program, run ROUNDS times (5) in both ways in turns. Told are the medians of the seconds that its
body takes, which leaves out the start of the interpreter and the analysis that follows the run. Unchecked a body lasts
for a second or so: starts of processes do not count.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import procession


def add(lock: Any, balance: Any, times: int) -> None:
    for _ in range(times):
        with lock:
            balance.value += 1


def bank(times: int = 3_000_000) -> None:
    """Two processes add to one number under a lock."""
    lock, balance = procession.Lock(), procession.Value("i", 0)
    tellers = [procession.Process(target=add, args=(lock, balance, times)) for _ in range(2)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    assert balance.value == 2 * times


def square(number: int) -> int:
    return number * number


def pool(tasks: int = 2_000_000) -> None:
    """A pool of two with tasks of less than a microsecond, each sent alone."""
    with procession.Pool(2) as workers:
        for _ in range(10):
            assert workers.map(square, range(tasks // 10), chunksize=1)[2] == 4


def queue(times: int = 1_000_000) -> None:
    """A tuple of two numbers, put into a queue and taken out."""
    numbers: Any = procession.Queue()
    for number in range(times):
        numbers.put((number, 1))
        numbers.get()


def array(times: int = 10_000_000) -> None:
    """Items of a RawArray, written one by one."""
    items = procession.RawArray("i", 1000)
    for number in range(times):
        items[number % 1000] = number


BODIES: dict[str, Callable[[], None]] = {body.__name__: body for body in (bank, pool, queue, array)}


def seconds(how: str, body: str) -> float:
    command = [sys.executable, "-m", "procession", how, __file__, "--body", body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    told = [line for line in done.stdout.splitlines() if line.startswith("seconds ")]
    if done.returncode or not told:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return float(told[0].split()[1])


def main(rounds: int) -> None:
    print(f"{'':8}{'run, s':>10}{'check, s':>10}{'ratio':>8}")
    for body in BODIES:
        took: dict[str, list[float]] = {"run": [], "check": []}
        for _ in range(rounds):
            for how, found in took.items():
                found.append(seconds(how, body))
        run, check = (statistics.median(found) for found in took.values())
        print(f"{body:8}{run:10.2f}{check:10.2f}{check / run:8.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--body"]:
        began = time.perf_counter()
        BODIES[sys.argv[2]]()
        print("seconds", time.perf_counter() - began)
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
