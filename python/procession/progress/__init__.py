"""Progress of long work: bars on terminals and in notebooks, functions that are told, tqdm's and rich's bars.

`pool.map(function, items, progress=True)` is how it is asked for; see docs/guides/progress.md. What is here for users
is `write`, which prints above the live bars, and `Snapshot`, what a function given as `progress=` is called with.

`rate` and `lines` are pure: counts at moments become a rate and a time left, those a line of so many columns. `screen`
puts the lines of all live bars on a terminal. `displays` are the ways to show something; `meters` joins one with what
is counted; `ticking` is the thread that draws where no caller waits. `others` speaks to tqdm and rich, `notebook` to
Jupyter; `runs` has the bars of jobs measured in bytes, which the commands show too.

Nothing of this is loaded before it is used: `import procession` knows none of it, and a call without `progress=` costs
one look at an argument.
"""

from __future__ import annotations

from .screen import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .snapshot import Snapshot

__all__ = ["Snapshot", "write"]


def __getattr__(name: str) -> Any:
    if name == "Snapshot":
        from .snapshot import Snapshot

        globals()[name] = Snapshot
        return Snapshot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
