"""The table: a frame costs as much as the terminal has lines, however many rows there are."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("textual")

from textual.app import App, ComposeResult
from watched import lock, look, program

from procession.monitor.model import Model
from procession.monitor.table import Table
from procession.monitor.tabs import TABS

LOCKS = TABS[2]
ROWS, HEIGHT = 10_000, 20


class Page(App[None]):
    """Nothing but a table."""

    def compose(self) -> ComposeResult:
        yield Table()


def locks(model: Model, now: float, acquired: int = 0, number: int = ROWS) -> list[Any]:
    objects = tuple(
        lock(each, f"lock-{each:05}", acquired=acquired if each == 3 else 0) for each in range(1, number + 1)
    )
    model.take(look(now, program(objects=objects)))
    return model.objects("lock", lambda row: row.info.name, False)


def test_only_rows_on_the_screen_are_written_and_only_changed_lines_drawn() -> None:
    written: Counter[str] = Counter()
    name = LOCKS.columns[0]

    def text(row: Any) -> str:
        written[row.info.name] += 1
        return name.text(row)

    columns = (replace(name, text=text), *LOCKS.columns[1:])

    async def test() -> None:
        page = Page()
        async with page.run_test(size=(80, HEIGHT)) as pilot:
            table, model = page.query_one(Table), Model()
            table.show(columns, (0, False), locks(model, 0), "")
            await pilot.pause()
            assert len(written) < 2 * HEIGHT
            drawn: list[int] = []
            refresh = table.refresh
            table.refresh = lambda *regions, **more: (drawn.extend(r.y for r in regions), refresh(*regions, **more))[1]  # type: ignore
            table.show(columns, (0, False), locks(model, 1), "")  # rates become known: every line is another
            drawn.clear()
            table.show(columns, (0, False), locks(model, 2), "")
            assert drawn == []
            table.show(columns, (0, False), locks(model, 3, acquired=5), "")
            assert drawn == [3]  # the third lock, below the titles
            await pilot.press("end")
            await pilot.pause()
            assert table.row is not None
            assert table.row.info.name == f"lock-{ROWS:05}"  # type: ignore[attr-defined]
            assert len(written) < 4 * HEIGHT
            await pilot.press("pageup", "up")
            assert table.row.info.name == f"lock-{ROWS - HEIGHT + 1:05}"  # type: ignore[attr-defined]

    asyncio.run(test())


def test_a_row_that_goes_leaves_the_cursor_at_its_place() -> None:
    async def test() -> None:
        page = Page()
        async with page.run_test(size=(80, HEIGHT)) as pilot:
            table, model = page.query_one(Table), Model()
            table.show(LOCKS.columns, (0, False), locks(model, 0, number=3), "")
            await pilot.press("down", "down")
            table.show(LOCKS.columns, (0, False), locks(model, 1, number=2), "")
            assert table.row is table.rows[1]
            table.show(LOCKS.columns, (0, False), [], "No locks.")
            assert table.row is None
            await pilot.press("down", "enter", "end", "pageup")

    asyncio.run(test())


@pytest.mark.parametrize("name", ["a\x1b[31mred\nb", "名前名前名前名前名前名前名前名前名前", "[bold]x[/]"])
def test_a_name_with_anything_in_it_stays_in_its_cell(name: str) -> None:
    async def test() -> None:
        page = Page()
        async with page.run_test(size=(60, HEIGHT)) as pilot:
            table, model = page.query_one(Table), Model()
            model.take(look(0, program(objects=(lock(1, name),))))
            table.show(LOCKS.columns, (0, False), model.objects("lock", lambda row: 0, False), "")
            await pilot.pause()
            strip = table.render_line(1)
            assert strip.cell_length == 60
            assert not any(ord(letter) < 32 for letter in strip.text)
            assert name[:1] in strip.text

    asyncio.run(test())
