"""get_logger, log_to_stderr, a QueueHandler in children and a listener in the parent."""

import logging
import logging.handlers
import multiprocessing
import sys


def work(queue, number):
    logger = logging.getLogger("app")
    logger.handlers[:] = [logging.handlers.QueueHandler(queue)]
    logger.setLevel(logging.DEBUG)
    logger.info("number %d", number)


class Collect(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append((record.getMessage(), record.processName.split("-")[0]))


def main():
    queue, collect = multiprocessing.Queue(), Collect()
    listener = logging.handlers.QueueListener(queue, collect)
    listener.start()
    children = [multiprocessing.Process(target=work, args=(queue, n)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    listener.stop()
    print(sorted(message for message, _ in collect.lines), {name.endswith("Process") for _, name in collect.lines})
    logger = multiprocessing.get_logger()
    print(logger.name, logger.level, logger is multiprocessing.get_logger())
    print(multiprocessing.log_to_stderr(logging.WARNING) is logger, len(logger.handlers))


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    main()
