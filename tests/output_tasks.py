"""What children whose output is forwarded do in the tests: importable, so that every start method finds it."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

PATTERN = ("stdout", "stderr", "log", "stdout", "log", "stderr")


def say(*words: object) -> None:
    print(*words)


def say_both(number: int) -> int:
    print("out", number)
    print("err", number, file=sys.stderr)
    return number


def take_turns(times: int) -> None:
    logger = logging.getLogger("turns")
    for number in range(times):
        for stream in PATTERN:
            if stream == "log":
                logger.warning("%d", number)
            else:
                print(number, file=getattr(sys, stream))


def count(lines: int) -> None:
    for number in range(lines):
        print(number, "." * (number % 50))
        if number % 2:
            print(number, file=sys.stderr)


def count_for_ever(told: Any) -> None:
    number = 0
    while True:
        print(number)
        told.value = number
        number += 1


def write(*chunks: bytes) -> None:
    for chunk in chunks:
        os.write(1, chunk)


def leave(text: str) -> None:
    print(text, end="", flush=True)
    os._exit(3)


def crash() -> None:
    faulthandler.enable()
    print("before")
    os.kill(os.getpid(), signal.SIGSEGV)


def be_many(release: Any = None) -> None:
    """A shell, a forked process and this one write; with `release` another shell does when that is closed."""
    os.system("echo shell; echo shell too >&2")
    pid = os.fork()
    if pid == 0:
        print("forked")
        logging.getLogger("forked").warning("forked")
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    if release is not None:
        subprocess.Popen(["sh", "-c", "read line; echo late; exec >&-"], stdin=release).returncode = 0


def close_output() -> None:
    print("before")
    sys.stdout.flush()
    os.close(1)
    print("after", file=sys.stderr)


def stop_within_a_line() -> None:
    print("begin", end="", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    print(" end")


def die(number: int) -> None:
    for line in range(300):
        print("line", line)
    print("this was", number, end="", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def chat_and_wait(begun: Any, go_on: Any) -> None:
    print("begun")
    begun.set()
    go_on.wait(20)


class Odd:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("never")

    def __repr__(self) -> str:
        return "<odd>"


def log() -> None:
    logger = logging.getLogger("some.where")
    logger.debug("too little")
    logger.info("%s and %r", "text", Odd(), extra={"thing": Odd(), "pair": (1, 2)})
    try:
        raise ValueError("it broke")
    except ValueError:
        logger.exception("caught")
    logger.error("x" * 300_000)
    logging.getLogger("alone").error("by itself")


def tick(stop: Any) -> None:
    number = 0
    while not stop.wait(0.003):
        print(number)
        number += 1


def take(lock: Any) -> bool:
    return bool(lock.acquire(timeout=10))


def log_with_own_handler() -> None:
    logging.getLogger("own").error("once")
    logging.getLogger("own").addHandler(logging.StreamHandler())
    logging.getLogger("own").error("twice")


def warn() -> None:
    logging.getLogger().error("careful")


def log_wrongly() -> None:
    logging.getLogger().error("%d", "one")
    logging.getLogger().error("fine")


def start_another(method: str) -> None:
    import procession

    child = procession.get_context(method).Process(target=say, args=("hello",), name="inner", forward_output=True)
    child.start()
    child.join()
    child.close()


def survive(path: str) -> None:
    """Print for ever; note down what ends that."""

    def note(what: str) -> None:
        with open(path, "w") as file:
            file.write(what)
        os._exit(0)

    signal.signal(signal.SIGTERM, lambda *_: note("SIGTERM"))
    print("ready")
    time.sleep(0.01)
    try:
        while True:
            print("x" * 100)
            print("x" * 100, file=sys.stderr)
    except BaseException as error:
        note(repr(error))
