"""What `procession top` costs: python scripts/top_cost.py [OBJECTS [SECONDS]]

A program makes so many locks and queues, half of each, and uses some of them. The real monitor watches it in a terminal
of 100 columns and 30 lines, at a look a second, with the tab of locks open; its processor time is read off after so
many seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

PROGRAM = """\
import procession, sys, time
number = int(sys.argv[1]) // 2
locks = [procession.Lock() for _ in range(number)]
queues = [procession.Queue(maxsize=1) for _ in range(number)]
print("ready", flush=True)
while True:
    for lock in locks[:50]:
        with lock:
            pass
    time.sleep(0.01)
"""


def used_s(pid: int) -> float:
    """Processor time of a process."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(terminal: int, seconds: float) -> int:
    """Reads what is drawn; how many bytes it was."""
    ends, size = time.monotonic() + seconds, 0
    while (left := ends - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            size += len(os.read(terminal, 65536))
    return size


def main(objects: int, seconds: float) -> None:
    """Measures and prints."""
    program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(objects)], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    program.stdout.readline()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "procession", "top", str(program.pid)])
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        drain(terminal, 4)
        os.write(terminal, b"3")
        drain(terminal, 2)
        before = used_s(pid)
        drawn = drain(terminal, seconds)
        share = (used_s(pid) - before) / seconds
        print(f"{objects} objects: {share * 100:.1f} % of a core, {drawn / seconds / 1024:.1f} KiB drawn a second")
    finally:
        with contextlib.suppress(OSError):
            os.write(terminal, b"q")
            drain(terminal, 10)
        os.waitpid(pid, 0)
        program.kill()
        program.wait()


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["10000"])[0]), float((sys.argv[2:] or ["15"])[0]))
