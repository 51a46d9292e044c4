"""`map` and `starmap` with a checkpoint: what `checkpoint.resuming` needs, of a pool."""

from __future__ import annotations

from contextlib import nullcontext

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
    progress: Any = None,
) -> list[Any]:
    """The results in order; see `Pool.map`. `on_error` is "first", "group" or "return".

    Items that the checkpoint has are not sent anywhere. Blocks until all others are done.
    Raises: as `checkpoint.resuming.resumed`; what failed, as `on_error` says.
    """
    options = {"call": "starmap" if kind & STAR else "map"}
    found: dict[int, Any] = {}
    failed: set[int] = set()

    tally = meter = None
    if progress is not None:
        from .progressing import Tally, length_of

        tally = Tally(length_of(items))
        meter = tally.meter(progress, function, resumes=True)

    def do(left: Iterator[Any]) -> Any:
        outcomes = completed(core, function, left, limits, kind)
        return outcomes if tally is None else tally.counted(outcomes)

    with nullcontext() if meter is None else meter:
        for number, worked, value in resumed(do, function, items, checkpoint, options):
            found[number] = value
            if not worked:
                failed.add(number)
            if tally is not None and meter is not None:
                tally.done, tally.failed = len(found), len(failed)
                meter.tell()
    results = [found[number] for number in range(len(found))]
    errors = [results[number] for number in sorted(failed)]
    if not errors or on_error == "return":
        return results
    if on_error == "first":
        raise errors[0]
    raise TaskErrors(f"{len(errors)} of {len(results)} calls of {name_of(function)} failed", errors, results=results)
