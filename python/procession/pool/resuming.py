"""`map` and `starmap` with a checkpoint: what `checkpoint.resuming` needs, of a pool."""

from __future__ import annotations

from ..checkpoint.resuming import resumed
from ..errors import TaskErrors
from .completed import completed
from .results import STAR, name_of

TYPE_CHECKING = False  # as in `state`
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .limits import Limits
    from .supervisor import Supervisor

__all__ = ["resumed_map"]


def resumed_map(
    core: Supervisor,
    function: Any,
    items: Iterable[Any],
    kind: int,
    checkpoint: Any,
    limits: Limits,
    on_error: str,
) -> list[Any]:
    """The results in order; see `Pool.map`. `on_error` is "first", "group" or "return".

    Items that the checkpoint has are not sent anywhere. Blocks until all others are done.
    Raises: as `checkpoint.resuming.resumed`; what failed, as `on_error` says.
    """
    options = {"call": "starmap" if kind & STAR else "map"}
    found: dict[int, Any] = {}
    failed: set[int] = set()

    def do(left: Iterator[Any]) -> Any:
        return completed(core, function, left, limits, kind)

    outcomes = resumed(do, function, items, checkpoint, options)
    for number, worked, value in outcomes:
        found[number] = value
        if not worked:
            failed.add(number)
    results = [found[number] for number in range(len(found))]
    errors = [results[number] for number in sorted(failed)]
    if not errors or on_error == "return":
        return results
    if on_error == "first":
        raise errors[0]
    raise TaskErrors(f"{len(errors)} of {len(results)} calls of {name_of(function)} failed", errors, results=results)
