"""Exit codes: what each command ends with and why, in one place.

The help of every command prints its part, docs/reference/cli.md is made from it, and a test has each of them happen.
"""

from __future__ import annotations

__all__ = [
    "CODES",
    "EXIT_BROKEN",
    "EXIT_FAILED",
    "EXIT_FINDINGS",
    "EXIT_INPUT",
    "EXIT_INTERRUPTED",
    "EXIT_OK",
    "EXIT_PIPE_CLOSED",
    "EXIT_TERMINATED",
    "EXIT_USAGE",
    "of_command",
]

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_FINDINGS = 3  # of `check`, which reads no input that could be wrong
EXIT_BROKEN = 4
EXIT_INTERRUPTED = 128 + 2  # SIGINT, as a shell counts
EXIT_PIPE_CLOSED = 128 + 13  # SIGPIPE
EXIT_TERMINATED = 128 + 15  # SIGTERM

# What a code means wherever a command says nothing of its own about it.
ALWAYS = {
    EXIT_OK: "done",
    EXIT_USAGE: "wrong usage",
    EXIT_INTERRUPTED: "interrupted: Ctrl-C, SIGINT",
    EXIT_PIPE_CLOSED: "whoever read the output has left",
    EXIT_TERMINATED: "SIGTERM came",
}

CODES: dict[str, dict[int | str, str]] = {
    "run": {
        "any": "the program's own: what `python` would have ended with",
        EXIT_USAGE: "wrong usage, or no such file; nothing was run",
    },
    "check": {
        "any": "the program's own, if nothing was found; 128 + N where signal N ended it",
        EXIT_FINDINGS: "something was found (not with --exit-zero)",
        EXIT_BROKEN: "an analysis failed, which is a mistake of procession's",
        EXIT_USAGE: "wrong usage, or no such file; nothing was run",
    },
    "top": {
        EXIT_FAILED: "no such program: gone, another user's, or not procession's",
        EXIT_USAGE: "wrong usage, no terminal, or a package is missing",
    },
    "ps": {EXIT_FAILED: "no such program: gone, another user's, or not procession's"},
    "report": {
        EXIT_FAILED: "the page cannot be written",
        EXIT_INPUT: "the run is missing, or is no recording and no trace",
    },
    "map": {
        EXIT_OK: "done, also if lines were passed over as --on-error says",
        EXIT_FAILED: "the function raised or gave what JSON has no form for; a line went beyond a limit; a worker "
        "died; the cluster is out of reach or lost; the checkpoint is in use, or its disk full",
        EXIT_USAGE: "wrong usage, no such function, or a checkpoint of another function or input",
        EXIT_INPUT: "a line is not JSON, or not text",
        EXIT_TERMINATED: "SIGTERM came: what was being done is written, and no more was begun",
    },
    "mapreduce": {
        EXIT_FAILED: "the job failed; a piece ended more workers than --retries allows; a disk is full; the checkpoint "
        "is in use; the cluster is out of reach or lost; --compare found a difference",
        EXIT_USAGE: "wrong usage, no such job or column, or a checkpoint of another job or input",
        EXIT_INPUT: "the input is missing, unreadable, changed while it was read, or not what it should be",
    },
    "doctor": {EXIT_OK: "nothing stands in the way", EXIT_FAILED: "something does not work"},
    "bench": {EXIT_FAILED: "a workload of procession's failed, or the figures cannot be saved"},
    "completion": {},
}
PLAIN = {"run", "check"}  # the program's code is all there is, whatever ended it
SCREEN = {"top"}  # Ctrl-C is a key, and nothing is printed that somebody could stop reading


def of_command(name: str) -> dict[int | str, str]:
    """All codes of a command, with their meanings: the word "any" first, then by number."""
    own = CODES[name]
    left_out = set(ALWAYS) if name in PLAIN else {EXIT_INTERRUPTED, EXIT_PIPE_CLOSED} if name in SCREEN else set()
    whole = {code: meaning for code, meaning in ALWAYS.items() if code not in left_out} | own
    return dict(sorted(whole.items(), key=lambda entry: -1 if isinstance(entry[0], str) else entry[0]))
