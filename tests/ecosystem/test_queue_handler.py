"""logging.handlers.QueueHandler and QueueListener with our queues, across processes."""

from __future__ import annotations

import logging
import logging.config
import logging.handlers
import sys
from typing import Any

import pytest


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def work(queue: Any, number: int) -> None:
    """A process that logs into a queue."""
    logger = logging.getLogger(f"worker.{number}")
    logger.propagate = False
    logger.handlers = [logging.handlers.QueueHandler(queue)]
    logger.setLevel(logging.DEBUG)
    for step in range(20):
        logger.info("step %d of %s", step, "many")
    try:
        raise LookupError("nothing here")
    except LookupError:
        logger.exception("failed")


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_processes_log_through_a_queue(process_context: Any, kind: str) -> None:
    queue = getattr(process_context, kind)()
    kept = Kept()
    listener = logging.handlers.QueueListener(queue, kept)
    listener.start()
    processes = [process_context.Process(target=work, args=(queue, number)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    listener.stop()
    assert len(kept.records) == 42
    for number, process in enumerate(processes):
        records = [record for record in kept.records if record.name == f"worker.{number}"]
        assert [record.getMessage() for record in records[:20]] == [f"step {step} of many" for step in range(20)]
        assert "LookupError: nothing here" in records[20].getMessage()
        assert {record.process for record in records} == {process.pid}
    queue.close()


def test_a_thread_queue_serves_as_well() -> None:
    import procession

    kept = Kept()
    queue = procession.get_context("thread").Queue()
    listener = logging.handlers.QueueListener(queue, kept)
    listener.start()
    work(queue, 0)
    listener.stop()
    assert len(kept.records) == 21


TAKES_OBJECTS = pytest.mark.skipif(
    not hasattr(logging.config, "_is_queue_like_object"),
    reason="this Python's dictConfig takes nobody's process queues, the standard library's own included",
)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="dictConfig takes queues from Python 3.12 on")
@pytest.mark.parametrize("given", [pytest.param("object", marks=TAKES_OBJECTS), "factory"])
@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_dict_config_takes_a_queue(process_context: Any, kind: str, given: str) -> None:
    queue = getattr(process_context, kind)()
    specified = queue if given == "object" else {"()": lambda: queue}
    handlers = {
        "kept": {"()": Kept},
        "queue": {"class": "logging.handlers.QueueHandler", "queue": specified, "handlers": ["kept"]},
    }
    logger = {"handlers": ["queue"], "level": "INFO", "propagate": False}
    logging.config.dictConfig({"version": 1, "handlers": handlers, "loggers": {"configured": logger}})
    handler: Any = logging.getHandlerByName("queue")
    assert handler.queue is queue
    handler.listener.start()
    process = process_context.Process(target=log_configured, args=(queue,))
    process.start()
    process.join()
    handler.listener.stop()
    kept: Any = logging.getHandlerByName("kept")
    assert [record.getMessage() for record in kept.records] == ["hello"]
    logging.config.dictConfig({"version": 1})
    queue.close()


def log_configured(queue: Any) -> None:
    logger = logging.getLogger("child")
    logger.handlers = [logging.handlers.QueueHandler(queue)]
    logger.warning("hello")
