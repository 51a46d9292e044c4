"""Errors of pickling name what was given, not what pickle met inside it, and what to give instead."""

import queue
import threading
from typing import Any

import pytest

import procession
from procession.errors import PicklingError


@pytest.mark.parametrize(
    ("obj", "theirs", "ours"),
    [
        (queue.Queue(), "queue.Queue", "Queue"),
        (queue.LifoQueue(), "queue.LifoQueue", "Queue"),
        (queue.SimpleQueue(), "queue.SimpleQueue", "SimpleQueue"),
        (threading.Lock(), "threading.Lock", "Lock"),
        (threading.RLock(), "threading.RLock", "RLock"),
        (threading.Condition(), "threading.Condition", "Condition"),
        (threading.Event(), "threading.Event", "Event"),
        (threading.BoundedSemaphore(), "threading.BoundedSemaphore", "BoundedSemaphore"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_only_threads_share_is_named_with_what_processes_share(obj: Any, theirs: str, ours: str) -> None:
    with pytest.raises(PicklingError) as caught:
        procession.SimpleQueue().put([1, obj])
    assert caught.value.path == "[1]"  # and not the lock inside it
    said = str(caught.value)
    assert f"only the threads of one process can share a {theirs}: give processes a procession.{ours}()" in said
    assert hasattr(procession, ours)


def test_any_other_object_gets_no_such_advice() -> None:
    with open(__file__) as file, pytest.raises(PicklingError) as caught:
        procession.SimpleQueue().put(file)
    assert "only the threads" not in str(caught.value)
