"""Processes: names, exit codes, sentinels, ends."""

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.connection import wait


class Greeter(multiprocessing.Process):
    def __init__(self, queue):
        super().__init__(name="greeter")
        self.queue = queue

    def run(self):
        self.queue.put((self.name, multiprocessing.current_process().name))


def leave(code):
    sys.exit(code)


def fail():
    sys.stderr.close()
    raise LookupError("on purpose")


def sleep():
    time.sleep(60)


def who(queue):
    me = multiprocessing.current_process()
    queue.put(
        (
            me.name,
            me.daemon,
            me.pid == os.getpid(),
            multiprocessing.parent_process().pid == os.getppid() or multiprocessing.get_start_method() == "forkserver",
        )
    )


def main():
    queue = multiprocessing.Queue()
    greeter = Greeter(queue)
    print(greeter.is_alive(), greeter.pid, greeter.exitcode, greeter.daemon)
    greeter.start()
    print(queue.get())
    greeter.join()
    print(greeter.is_alive(), greeter.exitcode)
    for target, args in ((leave, (None,)), (leave, (3,)), (fail, ())):
        child = multiprocessing.Process(target=target, args=args)
        child.start()
        child.join()
        print(target.__name__, child.exitcode)
    sleeper = multiprocessing.Process(target=sleep, name="sleeper", daemon=True)
    sleeper.start()
    print(sleeper.join(0.01), sleeper.is_alive(), [child.name for child in multiprocessing.active_children()])
    print(wait([sleeper.sentinel], timeout=0))
    sleeper.terminate()
    print(wait([sleeper.sentinel]) == [sleeper.sentinel])
    sleeper.join()
    print(sleeper.exitcode == -signal.SIGTERM, multiprocessing.active_children())
    killed = multiprocessing.Process(target=sleep)
    killed.start()
    killed.kill()
    killed.join()
    print(killed.exitcode)
    killed.close()
    for use in (killed.is_alive, killed.join, lambda: killed.pid):
        try:
            print(use())
        except ValueError as error:
            print("ValueError", error)
    child = multiprocessing.Process(target=who, args=(queue,), daemon=True)
    child.start()
    print(queue.get()[1:])
    child.join()
    print(repr(child).replace(str(child.pid), "PID").replace(str(os.getpid()), "PARENT"))
    for wrong in (
        lambda: multiprocessing.Process(1),
        greeter.start,
        multiprocessing.Process(target=sleep).join,
        multiprocessing.Process().is_alive,
    ):
        try:
            print(wrong())
        except Exception as error:
            print(type(error).__name__, error)
    print(multiprocessing.current_process().name, multiprocessing.parent_process())


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
