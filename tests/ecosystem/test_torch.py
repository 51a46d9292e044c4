"""PyTorch's DataLoader on our contexts. `make ecosystem` installs torch; `make test` skips this."""

from __future__ import annotations

import os
from multiprocessing import resource_sharer
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: `make ecosystem` does that")

from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info  # noqa: E402

import procession  # noqa: E402
from procession.testing import wait_until  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.watchdog(200),
    # torch's own: a forked worker collects iterators that are its parent's
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


class Squares(Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Any:
        return torch.full((16, 16), float(index * index)), index


class Failing(Squares):
    def __getitem__(self, index: int) -> Any:
        if index == 20:
            raise KeyError("no item 20")
        return super().__getitem__(index)


class Deadly(Squares):
    def __getitem__(self, index: int) -> Any:
        if index == 20:
            os.kill(os.getpid(), 9)
        return super().__getitem__(index)


class Seeded(Squares):
    def __getitem__(self, index: int) -> Any:
        return int(os.environ["SEEDED"])


class Stream(IterableDataset):  # type: ignore[misc]
    def __iter__(self) -> Any:
        info = get_worker_info()
        return iter(range(info.id, 20, info.num_workers))


def collate(samples: list[Any]) -> dict[str, Any]:
    return {"squares": torch.stack([tensor for tensor, _ in samples]), "indices": [index for _, index in samples]}


def seed(worker: int) -> None:
    os.environ["SEEDED"] = str(worker + 100)


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def loader(request: pytest.FixtureRequest) -> Any:
    """A loader of two workers."""

    def make(data: Any, **options: Any) -> Any:
        context = procession.get_context(request.param)
        return DataLoader(data, batch_size=8, num_workers=2, multiprocessing_context=context, **options)

    yield make
    resource_sharer.stop(timeout=5)  # its thread and socket would be found as leaks


def test_epochs_with_persistent_workers(loader: Any) -> None:
    batches = loader(Squares(), persistent_workers=True, prefetch_factor=3)
    for _ in range(2):
        count = 0
        for tensor, indices in batches:
            assert tensor.is_shared(), "the batch was copied"
            assert (tensor[:, 0, 0] == indices**2).all()
            count += len(indices)
        assert count == 64
    pids = [worker.pid for worker in batches._iterator._workers]
    assert len(pids) == 2
    del batches
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def test_a_collate_function_and_shuffling(loader: Any) -> None:
    seen = []
    for batch in loader(Squares(), collate_fn=collate, shuffle=True):
        assert batch["squares"].shape == (8, 16, 16)
        seen += batch["indices"]
    assert sorted(seen) == list(range(64))


def test_worker_init_fn(loader: Any) -> None:
    assert {int(value) for batch in loader(Seeded(), worker_init_fn=seed) for value in batch} == {100, 101}


def test_an_iterable_dataset_is_shared_out(loader: Any) -> None:
    assert sorted(int(value) for batch in loader(Stream()) for value in batch) == list(range(20))


def test_an_exception_in_a_worker_is_raised_here(loader: Any) -> None:
    with pytest.raises(KeyError, match="Caught KeyError in DataLoader worker process"):
        list(loader(Failing()))


def test_a_killed_worker_is_torchs_own_error(loader: Any) -> None:
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid"):
        list(loader(Deadly()))


def tensor_twice(tensor: Any) -> Any:
    return tensor * 2


def fill(tensor: Any) -> None:
    tensor.fill_(7)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_tensors_through_pools_and_queues_are_shared(method: str) -> None:
    context = procession.get_context(method)
    tensor = torch.ones(1000)
    with context.Pool(1) as pool:
        assert (pool.apply(tensor_twice, (tensor,)) == 2).all()
        pool.apply(fill, (tensor,))
    pool.join()
    assert (tensor == 7).all(), "torch's reducer was not used"
    resource_sharer.stop(timeout=5)
