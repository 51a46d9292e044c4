"""The timeline of a run: from the recorder's files to a trace for Perfetto, and to a page that a person reads.

    recording → `lives`, `events` → `chrome` (out.json) → `summary` → `page` (report.html)

`events` turns records into the events of Chrome's trace format, one at a time; everything behind it knows only those,
so a report made from a recording and one made from its trace say the same. `scribe` is the process beside a program
that is run with `--trace` or `--report`: it samples memory meanwhile and writes when the program has ended, however it
did.
"""

from __future__ import annotations

TYPE_CHECKING = False  # loaded by who wants only one of the two
if TYPE_CHECKING:
    import os

__all__ = ["report_text", "write_report", "write_trace"]


def write_trace(recording: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write the trace of a recording, a directory, to a file that is there whole or as it was before.

    Raises: NotARecording; OSError when it cannot be written.
    """
    from .chrome import replacing, write
    from .events import Run

    with replacing(path) as file:
        write(Run(recording), file)


def report_text(source: str | os.PathLike[str]) -> str:
    """The report of a run as a page of HTML; the run is given as a recording (a directory) or a trace of ours (a file).

    Raises: NotARecording, NotATrace; OSError.
    """
    from ..errors import NotATrace
    from .chrome import source_of
    from .events import Run
    from .page import page
    from .summary import summarize

    found = source_of(source)
    try:
        return page(summarize(found))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(found, Run) or isinstance(error, NotATrace):
            raise
        raise NotATrace(f"{source}: somebody has changed this trace: {type(error).__name__}: {error}") from error


def write_report(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Write it to a file that is there whole or as it was before. Raises: as `report_text`."""
    from .chrome import replacing

    text = report_text(source)
    with replacing(path) as file:
        file.write(text)
