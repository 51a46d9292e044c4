"""The built-in jobs of `procession mapreduce`, through the call that the command makes.

The time includes ending the workers, as `run` returns only then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import procession
from benchmarks.mapreduce.model import WORKERS, Answer, Function
from benchmarks.mapreduce.rivals.ours import Result
from procession import mapreduce


def built_in(job: str, **arguments: Any) -> Function:
    @contextmanager
    def run(path: Path) -> Iterator[Answer]:
        context = procession.get_context()
        answer = mapreduce.run(job, [str(path)], context=context, arguments=arguments, workers=WORKERS)
        yield Result(answer.total, str(path) if path.is_dir() else "")

    return run


FUNCTIONS: dict[str, Function] = {
    "letters": built_in("wordcount"),
    "index-letters": built_in("index"),
    "groupby": built_in("groupby", by="city", of="price", how="mean"),
}
