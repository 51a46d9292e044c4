"""What a column and a tab of the monitor are, and which columns fit into a width.

A column knows how to write a row and how to order rows; the table asks for the text of the rows on the screen only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from procession.monitor.model import Model, Order
from procession.monitor.rows import Row

__all__ = ["Choice", "Column", "Tab", "fit"]


@dataclass(frozen=True)
class Choice:
    """What the user chose for a tab."""

    column: int  # the order: the number of a column
    reverse: bool
    tree: bool = True  # processes below their parents
    threads: bool = True  # with the threads of processes that have several


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    width: int  # cells; of one that grows the least
    text: Callable[[Any], str]  # a row's cell
    order: Order  # what rows are sorted by
    help: str  # a sentence for newcomers
    right: bool = False  # numbers stand at the right
    grow: int = 0  # its share of the cells that are left
    rank: int = 0  # 0 is always shown; the highest goes first where there is no room
    falling: bool = False  # whether the greatest come first when one sorts by it
    tint: Callable[[Any], str] = lambda row: ""  # the name of a colour: the kind of a state, or hot


@dataclass(frozen=True)
class Tab:
    """A list of the monitor."""

    name: str
    short: str  # the name where there is little room
    columns: tuple[Column, ...]
    rows: Callable[[Model, Order, Choice], list[Row]]
    first: int  # the column that it is sorted by at first
    empty: str  # what is said where there is nothing to list


def fit(columns: tuple[Column, ...], width: int) -> list[tuple[Column, int]]:
    """The columns for which there is room, and how wide each is, a cell between two."""
    chosen = list(columns)
    while len(chosen) > 1 and sum(column.width + 1 for column in chosen) - 1 > width:
        dropped = max(chosen, key=lambda column: column.rank)
        if dropped.rank == 0:
            break
        chosen.remove(dropped)
    left = max(width - (sum(column.width + 1 for column in chosen) - 1), 0)
    shares = sum(column.grow for column in chosen)
    widths = []
    for column in chosen:
        more = left * column.grow // shares if shares else 0
        left, shares = left - more, shares - column.grow
        widths.append((column, column.width + more))
    return widths
