"""What a terminal shows of a run, and what a run costs."""

from __future__ import annotations

import io
import os

import pytest

from procession.mapreduce import progress
from procession.mapreduce.usage import Usage
from procession.pool.board import KeyedProgress, WorkerProgress


class Terminal(io.StringIO):
    """A terminal of 80 columns that keeps what it is sent."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


def at(phase: str, done: int, total: int | None, workers: int = 2) -> KeyedProgress:
    each = [WorkerProgress(4711 + n, "map", 5, done // workers, 1_234_567 * n, 99 << 20) for n in range(workers)]
    return KeyedProgress(phase, 0, None, done, total, 1.0, tuple(each))


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_every_line_fits(phase: str, columns: int) -> None:
    bar = progress.Bar("wordcount", io.StringIO())
    for done in (0, 1 << 20, 100 << 20, 321 << 20):
        for total in (321 << 20, None):
            lines = bar.lines(at(phase, done, total), 2.5, columns)
            assert len(lines) == 3
            assert all(len(line) < columns for line in lines)


def test_what_the_lines_say() -> None:
    bar = progress.Bar("wordcount", Terminal())
    whole, _, second = bar.lines(at("map", 100 << 20, 400 << 20), 2.0, 100)
    assert whole.startswith("wordcount ━")
    assert whole.endswith(" 25%  100 MiB of 400 MiB  50.0 MiB/s  0:06 left")
    assert second == "  4712  map      12%  50.0 MiB  1,234,567 pairs  99.0 MiB on disk"
    assert bar.lines(at("reduce", 1 << 20, 2 << 20), 1.0, 100)[0].endswith(
        "reduce  50%  1.0 MiB of 2.0 MiB  1.0 MiB/s  0:01 left"
    )


def test_more_workers_than_rows() -> None:
    lines = progress.Bar("wordcount", io.StringIO()).lines(at("map", 1, 2, workers=20), 1.0, 80, rows=10)
    assert len(lines) == 9
    assert lines[-1] == "  and 13 workers more"


def test_lines_are_drawn_over_themselves_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    screen = progress.Screen(out)
    with screen:
        screen.draw(["one", "two", "three"])
        assert out.getvalue() == "\rone\x1b[K\ntwo\x1b[K\nthree\x1b[K\x1b[J"
        out.truncate(out.seek(0))
        screen.draw(["four", "x" * 79])
        assert out.getvalue().startswith("\r\x1b[2Afour")
        out.truncate(out.seek(0))
        monkeypatch.setattr(screen, "size", lambda: os.terminal_size((40, 24)))
        screen.draw(["five"])
        assert out.getvalue().startswith("\r\x1b[2Afive"), "a line of 79 takes two rows of 40 columns"
        out.truncate(out.seek(0))
    assert out.getvalue() == "\r\x1b[J"


@pytest.mark.parametrize("why", ["no terminal", "dumb", "not wanted"])
def test_nothing_is_drawn_where_nothing_can_be(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb" if why == "dumb" else "xterm")
    out = io.StringIO() if why == "no terminal" else Terminal()
    with progress.Bar("wordcount", out, show=why != "not wanted") as bar:
        bar.update(at("map", 1, 2))
    assert out.getvalue() == ""


def test_the_line_of_a_map() -> None:
    bar = progress.LineBar("sqrt", io.StringIO(), 4 << 20)
    assert bar.line(1 << 20, 123_456, 2.0, 90).endswith(" 25%  123,456 lines  1.0 MiB  512 KiB/s  0:06 left")
    assert all(len(bar.line(1 << 20, 123_456, 2.0, columns)) < columns for columns in (10, 40, 80))
    assert progress.LineBar("sqrt", io.StringIO(), None).line(1 << 20, 1, 2.0, 80) == "sqrt  1 line  1.0 MiB  512 KiB/s"


def test_sizes_and_durations() -> None:
    assert progress.size(0) == "0 B"
    assert progress.size(1 << 50) == "1024 TiB"
    assert progress.duration(3700) == "1:01:40"
    assert progress.counted(1, "file") == "1 file"
    assert progress.counted(2000, "file") == "2,000 files"


def test_usage_counts_this_process_and_others() -> None:
    usage = Usage()
    data = bytearray(b"x" * (32 << 20))
    usage.look([])
    assert usage.peak_bytes > len(data)
    while usage.cpu_seconds < 0.05:  # the kernel counts in hundredths
        usage.look([2**22 + 1], now=True)  # no such process: passed over
    peak = usage.peak_bytes
    del data
    usage.look([], now=True)
    assert usage.peak_bytes == peak
