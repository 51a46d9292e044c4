"""Log records of children whose output is forwarded: handled once, in the parent, as they were meant."""

import logging
from collections.abc import Iterator
from typing import Any

import output_tasks as tasks
import pytest


class Collect(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


@pytest.fixture
def collect() -> Iterator[Collect]:
    """On the root logger, and on one that tells nobody above it."""
    root, alone, where, collect = logging.getLogger(), logging.getLogger("alone"), logging.getLogger("some"), Collect()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [collect]
    root.setLevel(logging.ERROR)
    alone.addHandler(collect)
    alone.propagate = False
    where.setLevel(logging.INFO)
    yield collect
    root.handlers[:] = handlers
    root.setLevel(level)
    alone.removeHandler(collect)
    alone.propagate = True
    where.setLevel(logging.NOTSET)


@pytest.mark.slow
def test_records_are_handled_here_as_they_were_there(process_context: Any, collect: Collect, capsys: Any) -> None:
    process = process_context.Process(target=tasks.log, name="logger", forward_output=True)
    process.start()
    pid = process.pid
    process.join()
    info, caught, long, *rest = collect.seen
    assert [record.getMessage() for record in rest] == ["by itself"]
    assert {(record.processName, record.process) for record in collect.seen} == {("logger", pid)}
    assert (info.name, info.levelname, info.getMessage()) == ("some.where", "INFO", "text and <odd>")
    assert (info.thing, info.pair) == ("<odd>", (1, 2))  # type: ignore[attr-defined]
    assert (info.filename, info.funcName) == ("output_tasks.py", "log")
    assert caught.exc_info is None
    text = logging.Formatter("%(message)s").format(caught)
    assert text.startswith("caught\nTraceback (most")
    assert text.endswith("ValueError: it broke")
    assert long.getMessage() == "x" * 300_000
    assert process.output[:2] == ("INFO:some.where:text and <odd>", "ERROR:some.where:caught")
    process.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_handlers_of_the_child_are_taken_off(process_context: Any, collect: Collect, capsys: Any) -> None:
    """A fork's copies, and those that importing the main module made; not what a task itself sets up."""
    process = process_context.Process(target=tasks.log_with_own_handler, forward_output=True)
    process.start()
    process.join()
    process.close()
    assert [record.getMessage() for record in collect.seen] == ["once", "twice"]
    assert capsys.readouterr().err.endswith("] twice\n")


def test_without_handlers_warnings_are_printed_with_their_process(fork: Any, capsys: Any) -> None:
    root = logging.getLogger()
    handlers, root.handlers[:] = root.handlers[:], []
    try:
        process = fork.Process(target=tasks.warn, name="warner", forward_output=True)
        process.start()
        process.join()
        process.close()
    finally:
        root.handlers[:] = handlers
    assert capsys.readouterr() == ("", "[warner] careful\n")


def test_a_message_that_cannot_be_formatted_is_told_of_in_the_child(fork: Any, collect: Collect) -> None:
    process = fork.Process(target=tasks.log_wrongly, forward_output=lambda _: None)
    process.start()
    process.join()
    assert process.output[0] == "--- Logging error ---"
    assert process.output[-1] == "ERROR:root:fine"
    process.close()


def test_a_function_gets_the_records(fork: Any, collect: Collect) -> None:
    lines: list[Any] = []
    process = fork.Process(target=tasks.warn, name="warner", forward_output=lines.append)
    process.start()
    process.join()
    process.close()
    assert [(line.stream, line.text, line.process) for line in lines] == [("log", "ERROR:root:careful", "warner")]
    assert lines[0].record.getMessage() == "careful"
    assert collect.seen == []
