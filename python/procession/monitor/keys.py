"""The keys of the monitor: for the footer, the bindings and the help. Those of htop do what they do there."""

from __future__ import annotations

from dataclasses import dataclass

from procession.monitor.columns import Tab

__all__ = ["KEYS", "Key", "footer", "help_text"]


@dataclass(frozen=True)
class Key:
    """A key and what it does."""

    keys: str  # as textual names them, the first is shown
    shown: str
    name: str
    action: str
    help: str
    rank: int = 9  # in the footer: 0 always, the highest goes first; 9 never there


KEYS = (
    Key("question_mark,h,f1", "?", "Help", "help", "this page", 0),
    Key("enter", "⏎", "Details", "details", "all about the row: counters, holders, who waits, what such a thing is", 1),
    Key("s", "s", "Stack", "stack", "where in its Python code a process is just now, also one that hangs", 1),
    Key("k,f9,delete", "k", "End", "end", "end a process; asks first", 2),
    Key(
        "slash,f4,f3,backslash", "/", "Filter", "filter", "list only rows that have these words; Esc lists all again", 2
    ),
    Key("greater_than_sign,f6", ">", "Sort", "sort(1)", "sort by the next column; < by the one before", 3),
    Key("less_than_sign", "<", "", "sort(-1)", ""),
    Key("i,I", "i", "Reverse", "reverse", "the other way round", 5),
    Key("t,f5", "t", "Tree", "tree", "processes as a tree, or as a flat list", 4),
    Key("H", "H", "Threads", "threads", "threads of processes that have several: show or hide", 5),
    Key("space,p", "p", "Pause", "pause", "hold the picture; the program goes on", 5),
    Key("tab,right", "Tab", "Next tab", "turn(1)", "the next tab; 1 to 5 go to one", 6),
    Key("shift+tab,left", "", "", "turn(-1)", ""),
    Key("P", "P", "CPU", "sort_by('CPU%')", "sort processes by CPU, M by memory, N by number"),
    Key("M", "M", "", "sort_by('PRIVATE')", ""),
    Key("N", "N", "", "sort_by('PID')", ""),
    Key("l", "l", "Light", "light", "light or dark colours", 7),
    Key("escape", "Esc", "", "plain", ""),
    Key("q,f10,ctrl+c", "q", "Quit", "quit", "leave; the program does not notice", 0),
)

_WORDS = """\
running   computes at this moment
waiting   waits for something of procession: a lock, a queue, a process; the state says for what, how long, who has it
sleeping  waits for anything else: input, output, a timer
idle      a worker of a pool without a task
ended     gone; the row stays for some seconds
DEADLOCK  some wait for each other in a circle: none will ever go on. One must be ended, and the program changed:
          take several locks always in the same order"""


def footer(width: int) -> list[Key]:
    """The keys that fit into this width."""
    chosen = [key for key in KEYS if key.rank < 9]
    while len(chosen) > 1 and sum(len(key.shown) + len(key.name) + 3 for key in chosen) > width:
        chosen.remove(max(chosen, key=lambda key: key.rank))
    return chosen


def help_text(tab: Tab) -> list[tuple[str, str]]:
    """The help as pieces of text with the name of a style."""
    pieces: list[tuple[str, str]] = []
    for key in KEYS:
        if key.help:
            pieces += [(f"{key.shown:>5}", "bold"), (f"  {key.help}\n", "")]
    pieces.append((f"\n{tab.name}: the columns\n", "bold"))
    for column in tab.columns:
        pieces += [(f"  {column.title:<13}", "bold"), (f" {column.help}\n", "")]
    pieces += [("\nWhat the states mean\n", "bold"), (_WORDS, "")]
    return pieces
