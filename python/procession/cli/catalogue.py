"""The commands there are, grouped by what one wants, and the first screen that lists them. Loads nothing."""

from __future__ import annotations

__all__ = ["COMMANDS", "FORMATS", "JOBS", "KINDS", "ON_ERROR", "Command", "command", "overview"]


class Command:
    """A command's entry on the first screen, and the module here that has its `MANUAL` and does it."""

    def __init__(self, group: str, name: str, summary: str, module: str) -> None:
        self.group: str = group
        self.name: str = name
        self.summary: str = summary
        self.module: str = module


COMMANDS = (
    Command("Run it", "run", "your program, with procession for its multiprocessing", "running"),
    Command("See it", "top", "a task manager: processes, queues, locks, deadlocks", "top"),
    Command("See it", "ps", "the same, printed once; --json for programs", "ps"),
    Command("See it", "report", "a page about a recorded run, for any browser", "reporting"),
    Command("Find mistakes", "check", "run a program; explain races, deadlocks, lost updates", "checking"),
    Command("Work on data", "map", "call a function with each line of input, on all cores", "mapping"),
    Command("Work on data", "mapreduce", "count, index, group or search text files on all cores", "reducing"),
    Command("This machine", "doctor", "what it allows, what is missing, and what mends it", "doctoring"),
    Command("This machine", "bench", "how fast procession is here, beside its rivals", "benching"),
    Command("This machine", "completion", "let the Tab key complete all of this", "completing"),
)

# What arguments may be: written here too, and held to the originals by a test, since help and the Tab key should not
# have to load what does the work.
JOBS = ("wordcount", "index", "groupby", "grep")
FORMATS = ("table", "json", "csv", "arrow")
ON_ERROR = ("stop", "skip", "null")
KINDS: tuple[str, ...] = (  # of findings
    *("race", "lost-update", "lost-write", "deadlock", "nobody-can-fill"),
    *("lock-order", "lock-at-exit", "lock-across-fork", "never-joined", "copies"),
)

OVERVIEW = """\
usage: procession COMMAND [OPTIONS] [ARGUMENTS]

Python's multiprocessing in shared memory: run programs on it, and watch them.

{commands}

Examples:
  procession run your_program.py --its options
  procession check your_program.py
  procession mapreduce wordcount /usr/share/doc --errors replace --top 10
  procession map math:sqrt < numbers.txt

`procession COMMAND --help` has more, with examples; `procession --version`.
Documentation: docs/index.md of the sources; the commands: docs/reference/cli.md"""


def command(name: str) -> Command | None:
    """The command of this name."""
    return next((one for one in COMMANDS if one.name == name), None)


def overview() -> str:
    """The first screen: 80 columns, 24 lines, the prompt that follows included."""
    lines, group = [], ""
    for one in COMMANDS:
        lines.append(f"{'' if one.group == group else one.group:<15}{one.name:<12}{one.summary}")
        group = one.group
    return OVERVIEW.format(commands="\n".join(lines))
