"""Results with their places, as they come: what is built upon a pool and keeps an account of its own."""

from __future__ import annotations

from .iterators import IMapUnorderedIterator
from .results import ONE, failure
from .state import VALUE

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from .limits import Limits
    from .supervisor import Supervisor

__all__ = ["completed"]


class _Completed(IMapUnorderedIterator):
    """Gives each answer as (index, whether there is a value, value or exception)."""

    __slots__ = ()

    def _give(self, index: int, items: int, status: int, told: Any) -> tuple[int, bool, Any]:
        what = self.describe(index, items) if status != VALUE else ""
        self._let_go(index, items)
        return (index, True, told) if status == VALUE else (index, False, failure(status, told, what))


class _Guarded:
    """An iterator that ends where its input raises, and keeps the error."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self.error: BaseException | None = None

    def __iter__(self) -> _Guarded:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._items)
        except StopIteration:
            raise
        except Exception as error:
            self.error = error
            raise StopIteration from None


def completed(
    core: Supervisor,
    function: Callable[..., Any],
    items: Iterable[Any],
    limits: Limits,
    kind: int = ONE,
) -> Iterator[tuple[int, bool, Any]]:
    """Call a function with every item; for each that is done (index, True, value), or (index, False, exception).

    Reads `items` only a little ahead, and blocks until the next one is done. When it is closed early, what no worker
    has taken is not done; at Ctrl-C what is running ends as well. Raises: what the iterable raises, once what was read
    before is done; as `imap`.
    """
    guarded = _Guarded(items)
    answers = _Completed().begin(core, function, guarded, 1, limits, kind)
    try:
        yield from answers
    except KeyboardInterrupt:
        answers.cancel()
        raise
    finally:
        answers.abandon()
    if guarded.error is not None:
        raise guarded.error
