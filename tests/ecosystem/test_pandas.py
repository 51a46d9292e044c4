"""pandas and numpy through queues and pools: equal, and copied no more than once on each side."""

from __future__ import annotations

import gc
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

numpy = pytest.importorskip("numpy", reason="numpy is not installed")

from client_tasks import block_is_view, frame_sum, is_view_on_shared_memory, twice  # noqa: E402

from procession._store import shared_arena  # noqa: E402

LARGE = 50 << 20  # bytes


@pytest.fixture
def frame() -> Any:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    count = 50_000
    return pandas.DataFrame(
        {
            "number": numpy.arange(count),
            "float": numpy.linspace(0, 1, count),
            "text": [f"row {i}" for i in range(count)],
            "kind": pandas.Categorical(["a", "b"] * (count // 2)),
            "when": pandas.date_range("2020-01-01", periods=count, freq="min"),
        },
        index=numpy.arange(count) * 2,
    )


def through(queue: Any, obj: Any) -> Any:
    queue.put(obj)
    return queue.get(timeout=20)


def test_a_frame_through_a_queue(process_context: Any, frame: Any) -> None:
    queue = process_context.Queue()
    pandas = pytest.importorskip("pandas")
    pandas.testing.assert_frame_equal(through(queue, frame), frame)
    queue.close()


def test_a_frame_through_a_process(process_context: Any, frame: Any) -> None:
    numbers = frame[["number", "float"]]
    there, back = process_context.Queue(), process_context.Queue()
    process = process_context.Process(target=answer, args=(there, back))
    process.start()
    there.put(numbers)
    received = back.get(timeout=20)
    process.join()
    assert received.equals(numbers * 2)
    there.close()
    back.close()


def answer(there: Any, back: Any) -> None:
    back.put(twice(there.get(timeout=20)))


def test_frames_through_a_pool(process_pool: Any, frame: Any) -> None:
    numbers = frame[["number", "float"]]
    assert process_pool.map(frame_sum, [numbers] * 3) == [frame_sum(numbers)] * 3
    assert process_pool.apply(twice, (numbers,)).equals(twice(numbers))


def test_a_large_frame_is_copied_once_and_given_back(fork: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    queue = fork.Queue()
    frame = pandas.DataFrame({f"column {i}": numpy.full(LARGE // 80, i, dtype=float) for i in range(10)})
    before = shared_arena().statistics()["used"]
    received = through(queue, frame)
    grown = shared_arena().statistics()["used"] - before
    assert 0.9 * LARGE < grown < 1.3 * LARGE  # rounded up to whole blocks
    pandas.testing.assert_frame_equal(received, frame)
    received.iloc[0, 0] = 5
    assert (received.iloc[0, 0], frame.iloc[0, 0]) == (5, 0)
    del received
    gc.collect()
    assert shared_arena().statistics()["used"] - before < LARGE / 100
    queue.close()


def test_a_large_array_leaves_a_queue_as_a_view(fork: Any) -> None:
    queue = fork.Queue()
    array = numpy.arange(LARGE // 8)
    received = through(queue, array)
    assert (received == array).all()
    assert is_view_on_shared_memory(received), "a copy was made on the way out"
    assert received.flags.writeable
    queue.close()


def test_a_large_array_is_a_view_in_a_pools_worker_and_as_its_result(process_pool: Any) -> None:
    array = numpy.arange(LARGE // 8)
    assert process_pool.apply(is_view_on_shared_memory, (array,))
    result = process_pool.apply(numpy.ones, (LARGE // 8,))
    assert is_view_on_shared_memory(result), "a copy was made on the way out"
    result[0] = 2
    assert result.sum() == LARGE // 8 + 1


def test_a_large_frame_is_a_view_in_a_pools_worker(process_pool: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(numpy.ones((100_000, 10)))
    assert process_pool.apply(block_is_view, (frame,))


def test_a_large_array_takes_two_copies_of_memory_through_a_queue(fork: Any) -> None:
    """The sender's and the one in shared memory, which the receiver looks at; measured in a process of its own."""
    process = fork.Process(target=growth_by_a_transfer, args=(fork.Queue(),))
    process.start()
    objects, resident, pickled = process.result(30)
    process.join()
    assert objects < LARGE / 2, f"{objects / LARGE:.2f} arrays' worth of new objects"
    assert resident < 1.5 * LARGE, f"{resident / LARGE:.2f} arrays' worth of new memory"
    assert pickled > LARGE / 2, "a copy would not be seen"


def growth_by_a_transfer(queue: Any) -> tuple[int, int, int]:
    """Bytes more at the peak of a transfer: of objects, and resident; and of objects while the array is pickled."""
    array = numpy.ones(LARGE // 8)
    tracemalloc.start()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: a fork begins with its parent's
    before = peak_bytes()
    received = through(queue, array)
    objects, resident = tracemalloc.get_traced_memory()[1], peak_bytes() - before
    assert received[-1] == 1
    pickle.dumps(array)
    return objects, resident, tracemalloc.get_traced_memory()[1]


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
