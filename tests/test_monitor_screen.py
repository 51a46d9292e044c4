"""The monitor's real screen, driven key by key, on real programs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("textual")
pytest.importorskip("psutil")

from textual import events
from watching import Family, drive, family, screen

from procession.monitor import stacks
from procession.monitor.rows import ProcessRow

pytestmark = pytest.mark.slow  # each starts a program of seven processes


@pytest.fixture(scope="module")
def watched() -> Iterator[Family]:
    """For tests that leave it as it is."""
    with family() as running:
        yield running


def test_every_tab_shows_what_the_program_has(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid) as shown:
            await shown.shows("guard", "thief", "ForkPoolWorker", "watched_family.py", f"pid {watched.pid}")
            assert str(watched.pids["thief"]) in shown.line("thief")
            await shown.press("2")
            await shown.shows("DEPTH", "orders")
            assert " 3 " in shown.line("orders")
            await shown.press("3")
            await shown.shows("OWNER", "vault")
            assert f"guard {watched.pids['guard']}" in shown.line("vault")
            await shown.press("4")
            await shown.shows("DONE/s", "hold_on, task")
            assert shown.text.count("runs hold_on") == 2
            await shown.press("5")
            await shown.shows("KIND", "Semaphore", "Event", "Queue")
            assert all(len(line) <= 80 for line in shown.text.splitlines())

    drive(test)


def test_rows_are_sorted_as_wanted(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid) as shown:

            def pids() -> list[int]:
                return [row.pid for row in shown.top.table.rows if isinstance(row, ProcessRow)]

            await shown.press("t", "H")
            assert pids() == sorted(pids())
            await shown.press("i")
            assert pids() == sorted(pids(), reverse=True)
            await shown.press("greater_than_sign")
            assert shown.line("NAME").strip().startswith("PID NAME▲")
            await shown.press("M")
            await shown.until(lambda: "PRIVATE▼" in shown.text)
            await shown.pilot.click("Table", offset=(3, 0))  # the title of the first column
            await shown.until(lambda: "PID▲" in shown.text)
            await shown.pilot.click("Table", offset=(3, 0))
            await shown.until(lambda: "PID▼" in shown.text)

    drive(test)


def test_the_cursor_stays_on_its_row_when_the_order_changes(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid) as shown:
            await shown.press("t", "H")
            await shown.choose("thief")
            await shown.press("i")
            assert shown.top.table.row.pid == watched.pids["thief"]  # type: ignore[union-attr]
            await shown.press("tab", "tab", "shift+tab", "1")
            assert shown.top.table.row.pid == watched.pids["thief"]  # type: ignore[union-attr]

    drive(test)


def test_the_filter_lists_what_has_the_words(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid) as shown:
            await shown.press("slash", *"gUa")
            await shown.until(lambda: "thief" not in shown.text)
            assert "guard" in shown.text
            await shown.press("enter", "5")  # it holds for every tab
            await shown.shows("Nothing here has 'gUa'")
            await shown.press("1", "escape")
            await shown.shows("thief", "guard")

    drive(test)


def test_what_is_typed_behind_the_slash_at_once_is_for_the_filter(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid) as shown:
            for key in ("slash", *"gUa", "enter"):
                shown.top.post_message(events.Key(key, key if len(key) == 1 else None))
            await shown.until(lambda: "thief" not in shown.text)
            assert "guard" in shown.text
            await shown.press("slash", "slash")
            await shown.until(lambda: shown.top.filter == "/")

    drive(test)


def test_details_of_a_lock_and_of_its_holder(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid) as shown:
            await shown.press("3")
            await shown.choose("vault")
            await shown.press("enter")
            await shown.shows("Lock 'vault'", "Held by", f"guard (pid {watched.pids['guard']})", "watched_family.py")
            await shown.press("escape", "1")
            await shown.choose("guard")
            await shown.press("enter")
            await shown.shows("Holds", "Lock 'vault' since")

    drive(test)


def test_help_names_keys_columns_and_words(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid) as shown:
            await shown.press("question_mark")
            await shown.shows("where in its Python code", "this page")
            await shown.press("end")
            await shown.shows("DEADLOCK")
            await shown.press("escape")
            await shown.until(lambda: len(shown.top.screen_stack) == 1)

    drive(test)


def test_the_stack_of_a_thread_that_hangs(watched: Family) -> None:
    if stacks.find() is None:
        pytest.skip("needs py-spy")

    async def test() -> None:
        async with screen(watched.pid, 100, 40) as shown:
            row = next(row for row in shown.top.table.rows if f"{watched.pids['listener']}" in row.haystack)
            shown.top.table.go_to(row.key)
            await shown.press("s")
            await shown.until(lambda: "stacks of" in shown.text and "reading …" not in shown.text)
            if "ptrace" in shown.text:
                pytest.skip("this machine forbids ptrace")
            await shown.shows("listen", "watched_family.py")
            lines = shown.text.splitlines()
            first = next(number for number, line in enumerate(lines) if "▸" in line)
            assert str(watched.pids["listener"]) in lines[first - 1]  # the thread that was asked for comes first
            await shown.press("r")
            await shown.shows("listen")

    drive(test)


def test_a_stack_that_cannot_be_had_says_what_to_do(watched: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "find", lambda: None)

    async def test() -> None:
        async with screen(watched.pid) as shown:
            await shown.press("s")
            await shown.shows("pip install py-spy")

    drive(test)


def test_a_process_is_ended_after_a_question() -> None:
    async def test(watched: Family) -> None:
        thief = watched.pids["thief"]
        async with screen(watched.pid) as shown:
            await shown.choose("thief")
            await shown.press("k")
            await shown.shows(f"End thief (pid {thief})?", "SIGTERM", "SIGKILL")
            await shown.press("escape")
            await shown.until(lambda: len(shown.top.screen_stack) == 1)
            assert Path(f"/proc/{thief}").exists()
            await shown.press("k", "k")
            await shown.shows("SIGKILL sent to thief")
            await shown.until(lambda: "ended" in shown.line(f"{thief} "))
            assert next(row for row in shown.top.table.rows if row.pid == thief).state.kind == "ended"

    with family() as watched:
        drive(lambda: test(watched))


def test_a_program_that_dies_while_it_is_watched_stays_as_ended() -> None:
    with family() as watched:

        async def test() -> None:
            async with screen(watched.pid) as shown:
                await shown.shows("guard")
                await shown.press("3", "enter")
                os.kill(watched.pid, signal.SIGKILL)
                for pid in (watched.pids["guard"], watched.pids["thief"]):
                    os.kill(pid, signal.SIGKILL)
                await shown.until(lambda: all(row.ended for row in shown.top.table.rows))
                await shown.press("escape")
                await shown.shows("ended at")
                for tab in "12345":
                    await shown.press(tab, "down", "s", "k")
                await shown.press("1")
                await shown.until(lambda: "ended" in shown.line("guard"))

        drive(test)


def test_forty_columns_say_what_matters(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid, 40, 15) as shown:
            await shown.shows("guard", "CPU%", "STATE", "Help", "Quit")
            await shown.press("3")
            await shown.shows("OWNER", "vault")
            assert all(len(line) <= 40 for line in shown.text.splitlines())
            await shown.press("enter")
            await shown.shows("Held by")
            await shown.pilot.resize_terminal(120, 30)
            await shown.press("escape")
            await shown.shows("MADE AT", "TAKEN/s")

    drive(test)


def test_a_deadlock_is_shown_plainly() -> None:
    with family("deadlock") as watched:

        async def test() -> None:
            async with screen(watched.pid, 100) as shown:
                await shown.shows("DEADLOCK  ", "ana (pid", "bob (pid", "Lock 'right'", "Lock 'left'", "held by")
                await shown.press("down", "down", "down", "down")
                await shown.shows("held by bob")

        drive(test)


def test_all_programs_are_watched_and_new_ones_appear() -> None:
    async def test() -> None:
        async with screen(None) as shown:
            with family() as watched:
                await shown.until(lambda: any(row.pid == watched.pid for row in shown.top.table.rows))
            await shown.until(lambda: all(row.ended for row in shown.top.table.rows if row.pid == watched.pid))

    drive(test)


def test_the_picture_can_be_held(watched: Family) -> None:
    async def test() -> None:
        async with screen(watched.pid) as shown:
            await shown.press("p")
            await shown.shows("PAUSED")
            await shown.until(lambda: not shown.top._looking)
            looks = shown.top.model.looks
            await shown.pilot.pause(0.2)
            assert shown.top.model.looks == looks
            await shown.press("p", "l")
            await shown.until(lambda: shown.top.model.looks > looks)
            assert "PAUSED" not in shown.text

    drive(test)
