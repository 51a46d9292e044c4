"""`PROCESSION_CHAOS`: processes die or dawdle at steps of the shared memory, chosen by a seed.

    PROCESSION_CHAOS=seed:rate[:kill|delay|both]        PROCESSION_CHAOS_LOG=path

`rate` is the share of steps, 0 to 1, at which something happens. A queue's put and get take some four steps each, so
0.001 is an event in some 120 messages. The variables are read when a process first opens the shared arena (`_store`),
not before; what a step is and what is reproducible: `crates/core/src/failpoint.rs`. How to use it:
docs/guides/testing.md.

The first to read them, usually the program itself, is spared: it is the one that tells what came of it. It appends a
fourth part for whoever inherits its environment: the rank from which the ranks of those who take part are counted.
"""

from __future__ import annotations

import os

from ._variables import parsed

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Mapping

DEEDS = {"kill": 1, "delay": 2, "both": 3}
VARIABLE = "PROCESSION_CHAOS"
LOG_VARIABLE = "PROCESSION_CHAOS_LOG"

Orders = tuple[int, float, int, bytes | None]  # what `_native.unleash` is told: seed, rate, deeds, where to log


def text(seed: int, rate: float, deeds: str, first: int | None = None) -> str:
    """What the variable has to be. Raises: ValueError for a seed, rate or deeds that there are not."""
    if deeds not in DEEDS:
        raise ValueError(f"deeds must be one of {', '.join(DEEDS)}, not {deeds!r}")
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be from 0 to 1, the share of steps at which something happens, not {rate!r}")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed must be from 0 to 2**64 - 1, not {seed!r}")
    return f"{seed}:{rate!r}:{deeds}" + ("" if first is None else f":{first}")


def claimed(given: str, first: int) -> str:
    """The variable for whoever comes after the first to read it."""
    return ":".join([*f"{given}:both".split(":")[:3], str(first)])


def orders(environment: Mapping[str, str]) -> tuple[Orders, int | None] | None:
    """What the variables say, with the first rank (None: nobody has read them yet); None when they say nothing.

    Raises: ValueError for what cannot be read.
    """
    given = parsed(VARIABLE, _parts, "seed:rate[:kill|delay|both] with a rate from 0 to 1", environment)
    if given is None:
        return None
    seed, rate, deeds, rank = given
    log = environment.get(LOG_VARIABLE)
    path = os.fsencode(os.path.abspath(log)) if log else None
    return (seed, rate, DEEDS[deeds], path), rank


def _parts(given: str) -> tuple[int, float, str, int | None]:
    seed, rate, *rest = given.split(":")
    if len(rest) > 2:
        raise ValueError("too many parts")
    deeds = rest[0] if rest else "both"
    rank = int(rest[1]) if len(rest) > 1 else None
    text(int(seed), float(rate), deeds)  # raises where there are no such
    return int(seed), float(rate), deeds, rank
