"""Logging: the standard library's logger of processes, and records that travel through our queues."""

import logging
import logging.config
import logging.handlers
import multiprocessing
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import procession


class Collect(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str | None, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append((record.processName, record.getMessage()))


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level


def log(queue: Any, number: int) -> None:
    logger = logging.getLogger("worker")
    logger.propagate = False
    logger.handlers[:] = [logging.handlers.QueueHandler(queue)]
    logger.setLevel(logging.INFO)
    for what in ("begins", "ends"):
        logger.info("%s %d", what, number)


def test_records_of_children_arrive(context: Any) -> None:
    queue, collect = context.Queue(), Collect()
    listener = logging.handlers.QueueListener(queue, collect)
    listener.start()
    workers = [context.Process(target=log, args=(queue, number), name=f"worker {number}") for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        assert worker.result() is None
        worker.close()
    listener.stop()
    assert sorted(message for _, message in collect.seen) == ["begins 0", "begins 1", "ends 0", "ends 1"]
    if context.get_start_method() != "thread":
        assert {(name, message[-1]) for name, message in collect.seen} == {("worker 0", "0"), ("worker 1", "1")}


@pytest.mark.skipif(sys.version_info < (3, 13), reason="dictConfig refuses multiprocessing's queues as well")
def test_dict_config_takes_our_queue(root: logging.Logger) -> None:
    queue = procession.Queue()
    handler = {"class": "logging.handlers.QueueHandler", "queue": queue, "handlers": []}
    logging.config.dictConfig({"version": 1, "handlers": {"queue": handler}, "root": {"handlers": ["queue"]}})
    logging.warning("through the queue")
    assert queue.get(timeout=30).getMessage() == "through the queue"


def level_of_the_logger() -> int:
    return procession.get_logger().getEffectiveLevel()


def test_the_logger_is_the_standard_one(process_context: Any) -> None:
    logger = procession.get_logger()
    assert logger is multiprocessing.get_logger()
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        worker = process_context.Process(target=level_of_the_logger)
        worker.start()
        assert worker.result() == logging.INFO
        worker.close()
    finally:
        logger.setLevel(before)
