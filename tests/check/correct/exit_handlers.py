# METHODS: fork spawn forkserver
"""Exit handlers and log records, in the parent and its children."""

import atexit
import logging
import multiprocessing

logger = logging.getLogger("program")
messages = []


class Keeper(logging.Handler):
    def __init__(self):
        super().__init__()
        self.seen = 0

    def emit(self, record):
        self.seen += 1
        messages.append(record.getMessage())


def report():
    logging.shutdown()


def work(number):
    atexit.register(report)
    logger.warning("child %d", number)


def main():
    logger.addHandler(Keeper())
    logger.propagate = False
    atexit.register(report)
    process = multiprocessing.Process(target=work, args=(1,))
    process.start()
    process.join()
    logger.warning("parent")
    print(len(messages))


if __name__ == "__main__":
    main()
