"""Programs that meet at files, killed at random: `meeting_kills.py SECONDS [SEED]`, a part of `make soak`.

Four unrelated programs open a lock and two values, add to both values with the lock held, and close them, again and
again. One after another is killed and replaced; every fiftieth time all of them are. Whoever finds the values different
ends the run with an error, unless he was told that the holder had died, and makes them the same; so does a minute
without progress. It tells of each thing that one opener's death could spoil: the gate, presence, the state, the holder.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings

import procession
from procession.errors import LockAbandoned

PROGRAMS = 4
STILL_S = 60.0  # a busy machine takes a second to start a program
TORN = 3  # exit code


def work(folder: str) -> None:
    """One program, until it is killed."""
    warnings.simplefilter("error")
    while True:
        lock = procession.Lock(path=f"{folder}/lock", on_abandoned="raise")
        one = procession.Value("q", path=f"{folder}/one", lock=False)
        two = procession.Value("q", path=f"{folder}/two", lock=False)
        for _ in range(20):
            try:
                with lock:
                    if one.value != two.value:
                        os._exit(TORN)
                    one.value += 1
                    two.value += 1
            except LockAbandoned:
                with lock.repair() as error:
                    if error is not None:
                        two.value = one.value
        lock.close()
        one.close()
        two.close()


def start(folder: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "--work", folder])


def main(seconds: float, seed: int) -> int:
    chance = random.Random(seed)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder:
        count = procession.Value("q", path=f"{folder}/one", lock=False)
        programs = [start(folder) for _ in range(PROGRAMS)]
        kills, last, moved, end = 0, 0, time.monotonic(), time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                time.sleep(chance.random() * 0.5)
                which = range(PROGRAMS) if kills % 50 == 49 else [chance.randrange(PROGRAMS)]
                for index in which:
                    programs[index].kill()
                for index in which:
                    if programs[index].wait() != -signal.SIGKILL:
                        print(f"a program ended with {programs[index].returncode} after {kills} kills")
                        return 1
                    programs[index] = start(folder)
                    kills += 1
                if count.value != last:
                    last, moved = count.value, time.monotonic()
                elif time.monotonic() - moved > STILL_S:
                    print(f"nothing has moved for {STILL_S:.0f} s after {kills} kills")
                    return 1
        finally:
            for program in programs:
                program.kill()
                program.wait()
    print(f"{kills} kills, counted to {last}")
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(sys.argv[2])
    sys.exit(main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)))
