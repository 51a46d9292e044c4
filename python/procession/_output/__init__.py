"""What children print and log, brought to their parent: whole lines, attributed, in order. `forward_output=True`.

In the child, descriptors 1 and 2 are pipes to the parent, so that what C code, subprocesses and `faulthandler` write is
caught as well as prints. Log records travel beside them through a socket that keeps them whole. The parent has one
thread for all its children, the relay, which reads, cuts into lines and passes them on: to its own `sys.stdout` and
`sys.stderr`, and to the logger of the same name; or to a function that the program gave.

`wires` is the child's side and `logs` its handler; `source` is the parent's end of one child, `channels` of one pipe;
`relay` is the thread and `outlets` where lines go. docs/guides/output.md tells users, docs/design.md the reasons.
"""

from __future__ import annotations

import select
from contextlib import contextmanager

from .._variables import switched

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .source import Source

    ForwardOutput = bool | Callable[[Any], object] | None

__all__ = ["drain", "finish", "forwarding", "wanted"]

VARIABLE = "PROCESSION_FORWARD_OUTPUT"  # `procession run --forward-output`: for whatever does not say


def wanted(given: ForwardOutput, method: str | None = None) -> bool | Callable[[Any], object]:
    """What `forward_output=` means: False, True for printing, or the function that gets the lines.

    Raises: TypeError for something else; NotSupported for a function where the start method is 'thread', whose prints
    are the program's own, and for a cluster, whose workers print where they are.
    """
    is_ours = method in (None, "fork", "spawn", "forkserver")
    if given is None:
        return bool(switched(VARIABLE)) and is_ours
    if not isinstance(given, bool) and not callable(given):
        raise TypeError(f"forward_output must be True, False or a function, not {given!r}")
    if given and not (is_ours and hasattr(select, "epoll")):
        from ..errors import NotSupported

        if not is_ours and method != "thread":
            raise NotSupported(
                f"forward_output: what workers of {method} print stays there, see its logs; or return it"
            )
        if method != "thread":
            raise NotSupported("forward_output needs a kernel with epoll, as Linux has")
        if given is not True:
            raise NotSupported("forward_output: what threads print is not theirs alone; use a context of processes")
        return False  # it arrives as it is
    return given


@contextmanager
def forwarding(process: Any, given: bool | Callable[[Any], object]) -> Iterator[None]:
    """A block that starts a process: what it writes is forwarded from its beginning, its end is `process._source`.

    Raises: OSError when descriptors run out, RuntimeError where there is no room for the thread; nothing runs then.
    """
    from .relay import relay
    from .source import Source

    before = process._popen  # of one that is started a second time, which is refused
    source = Source(process.name, given)
    relay.prepare(source)
    process._wires = source.wires
    try:
        yield
        source.pid = process.pid
        relay.begin(source)
    except BaseException:
        relay.abandon(source)
        if process._popen is not before:
            process.kill()
            process.join()
        raise
    finally:
        process._wires = None
    process._source = source


def finish(source: Source) -> None:
    """A child has ended: return when all that it wrote has been passed on."""
    from .relay import relay

    relay.finish(source)


def drain() -> None:
    """Return when all that children have written up to now has been passed on; after some seconds in any case."""
    from .relay import relay

    relay.drain()
