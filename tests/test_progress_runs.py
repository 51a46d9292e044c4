"""The bars of the commands: a keyed map-reduce with its workers, a map over lines."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest

from procession.pool.board import KeyedProgress, WorkerProgress
from procession.progress import runs, screen


class Terminal(io.StringIO):
    """A terminal of 80 columns that keeps what it is sent."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def at(phase: str, done: int, total: int | None, seconds: float = 1.0, workers: int = 2) -> KeyedProgress:
    each = [WorkerProgress(4711 + n, "map", 5, done // workers, 1_234_567 * n, 99 << 20) for n in range(workers)]
    return KeyedProgress(phase, 0, None, done, total, seconds, tuple(each))


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_every_line_fits(phase: str, columns: int) -> None:
    bar = runs.Bar("wordcount", io.StringIO())
    for done in (0, 1 << 20, 100 << 20, 321 << 20):
        for total in (321 << 20, None):
            bar.see(at(phase, done, total))
            lines = bar.lines(columns)
            assert len(lines) == 3
            assert all(len(line) < columns for line in lines)


def test_what_the_lines_say() -> None:
    bar = runs.Bar("wordcount", Terminal())
    bar.see(at("map", 0, 400 << 20, 0.0))
    assert bar.lines(100)[0].endswith("  0%  0 B of 400 MiB  0 B/s  starting")
    bar.see(at("map", 100 << 20, 400 << 20, 2.0))
    whole, _, second = bar.lines(100)
    assert whole.startswith("wordcount ━")
    assert whole.endswith(" 25%  100 MiB of 400 MiB  50.0 MiB/s  0:06 left")
    assert second == "  4712  map      12%  50.0 MiB  1,234,567 pairs  99.0 MiB on disk"
    bar.see(at("reduce", 0, 2 << 20, 5.0))
    bar.see(at("reduce", 1 << 20, 2 << 20, 6.0))
    assert bar.lines(100)[0].endswith("reduce  50%  1.0 MiB of 2.0 MiB  1.0 MiB/s  0:01 left")


def test_more_workers_than_rows() -> None:
    bar = runs.Bar("wordcount", io.StringIO())
    bar.see(at("map", 1, 2, workers=20))
    lines = bar.lines(80, rows=9)
    assert len(lines) == 9
    assert lines[-1] == "  and 13 workers more"


class Told:
    """A bar of given lines."""

    def __init__(self, *lines: str) -> None:
        self.told = list(lines)

    def lines(self, columns: int, rows: int) -> list[str]:
        return self.told


def test_lines_are_drawn_over_themselves_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    out, bar = Terminal(), Told("one", "two", "three")

    def sent() -> str:
        text = out.getvalue()
        out.truncate(out.seek(0))
        return text

    def draw(*lines: str) -> str:
        bar.told = list(lines)
        monkeypatch.setattr(live, "_drawn_at", -1.0)
        live.draw()
        return sent()

    live = screen.on_screen(bar, out)
    assert sent() == "\rone\x1b[K\ntwo\x1b[K\nthree\x1b[K\x1b[J"
    live.draw()
    assert sent() == "", "it is too early for that"
    assert draw("four", "x" * 79).startswith("\r\x1b[2Afour")
    monkeypatch.setattr(live, "size", lambda: os.terminal_size((40, 24)))
    assert draw("five").startswith("\r\x1b[2Afive"), "a line of 79 takes two rows of 40 columns"
    live.end(bar)
    live.end(bar)
    assert sent() == "\r\x1b[K\x1b[J"


def test_what_is_written_as_the_last_bar_ends_is_not_lost() -> None:
    out, bar = Terminal(), Told("bar")
    live = screen.on_screen(bar, out)
    write = out.write  # a print of another thread's is about to call this
    write("kept until")
    live.end(bar)
    write(" 90")
    assert out.getvalue().endswith("\x1b[Jkept until 90")


@pytest.mark.parametrize("why", ["no terminal", "dumb", "not wanted", "turned off"])
def test_nothing_is_drawn_where_nothing_can_be(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSION_PROGRESS", "0" if why == "turned off" else "")
    monkeypatch.setenv("TERM", "dumb" if why == "dumb" else "xterm")
    out = io.StringIO() if why == "no terminal" else Terminal()
    with runs.Bar("wordcount", out, show=why != "not wanted") as bar:
        bar.update(at("map", 1, 2))
    assert out.getvalue() == ""


def test_the_line_of_a_map() -> None:
    bar = runs.LineBar("sqrt", Terminal(), 4 << 20)
    bar.see(1 << 20, 123_456, 2.0)
    assert bar.lines(90)[0].endswith(" 25%  123,456 lines  1.0 MiB  512 KiB/s  0:06 left")
    assert all(len(bar.lines(columns)[0]) < columns for columns in (10, 40, 80))
    endless = runs.LineBar("sqrt", Terminal(), None)
    endless.see(1 << 20, 1, 2.0)
    assert endless.lines(80) == ["sqrt 1 line  1.0 MiB  512 KiB/s"]


@pytest.mark.parametrize("progress", [None, False, "title"])
def test_nothing_is_told_where_nothing_is_shown(progress: Any) -> None:
    with runs.keyed_reporter(progress, "words") as tell:
        assert tell is None


def test_a_function_is_told_all_there_is() -> None:
    told: list[KeyedProgress] = []
    with runs.keyed_reporter(told.append, "words") as tell:
        assert tell is not None
        tell(at("map", 1, 2))
        tell(at("reduce", 1, 2))
    assert [(now.phase, now.title, now.ended) for now in told] == [
        ("map", "words", False),
        ("reduce", "words", False),
        ("reduce", "words", True),
    ]
    with pytest.raises(KeyError), runs.keyed_reporter(told.append, "words") as tell:
        raise KeyError
    assert len(told) == 3
