"""Rates, times left and lines as data: no clock, no terminal, no pool."""

from __future__ import annotations

import random

import pytest

from procession.progress import lines, words
from procession.progress.rate import Rate
from procession.progress.snapshot import Snapshot


def at(
    done: int = 620, total: int | None = 1000, failed: int = 0, ended: bool = False, title: str = "squares"
) -> Snapshot:
    left = None if total is None else (total - done) / 84
    return Snapshot(done, total, failed, 7.4, 84.0, left, title, ended)


# Rates


def fed(*arrivals: tuple[float, int]) -> Rate:
    rate = Rate(100.0)
    for seconds, done in arrivals:
        rate.feed(100.0 + seconds, done)
    return rate


def test_nothing_is_known_before_something_came() -> None:
    rate = fed((1.0, 0), (2.0, 0))
    assert rate.per_second(103.0) is None
    assert rate.mean(103.0) is None
    assert rate.left(103.0, 10) is None


def test_a_steady_rate_is_right_from_the_first_item_on() -> None:
    rate = Rate(0.0)
    for second in range(1, 500):
        rate.feed(second / 10, second * 5)
        assert rate.per_second(second / 10) == pytest.approx(50)
        assert rate.left(second / 10, 10_000) == pytest.approx((10_000 - second * 5) / 50)
    assert rate.mean(49.9) == pytest.approx(50)


def test_a_change_of_pace_is_followed() -> None:
    rate, done = Rate(0.0), 0
    for tick in range(1, 601):
        done += 100 if tick <= 300 else 10
        rate.feed(tick / 10, done)
    assert rate.per_second(60.0) == pytest.approx(100, rel=0.5)
    mean = rate.mean(60.0)
    assert mean is not None
    assert mean > 500


def test_bursts_do_not_throw_it_about() -> None:
    rate, rng, done = Rate(0.0), random.Random(1), 0
    seen = []
    for tick in range(1, 1000):
        if tick % 10 == 0:
            done += rng.randint(50, 150)  # chunks, each a second's work
        rate.feed(tick / 10, done)
        if tick > 200:
            seen.append(rate.per_second(tick / 10) or 0.0)
    assert 70 < min(seen) <= max(seen) < 140


def test_time_left_counts_down_between_slow_items() -> None:
    rate = fed((60.0, 1), (120.0, 2))
    assert rate.left(220.0, 4) == pytest.approx(120)
    assert rate.left(250.0, 4) == pytest.approx(90)
    assert rate.left(280.0, 4) == pytest.approx(60)
    overdue = rate.left(400.0, 4)
    assert overdue is not None
    assert overdue > 60, "the third is overdue: things are slower than they were"


def test_work_done_again_is_no_arrival() -> None:
    rate = fed((1.0, 10), (2.0, 6), (3.0, 12))
    assert rate.mean(103.0) == pytest.approx(4)


# Words


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (0, ""),
        (0.001, "16:40/item"),
        (0.4, "2.5 s/item"),
        (1, "1.00/s"),
        (12.34, "12.3/s"),
        (84, "84.0/s"),
        (123.4, "123/s"),
        (9_994, "9,994/s"),
        (12_345, "12.3k/s"),
        (999_499, "999k/s"),
        (1_234_567, "1.23M/s"),
        (2.5e9, "2.50G/s"),
    ],
)
def test_rates(per_second: float, text: str) -> None:
    assert words.rate(per_second) == text


def test_durations_and_counts() -> None:
    assert [words.duration(seconds) for seconds in (0, 59.6, 3700)] == ["0:00", "1:00", "1:01:40"]
    assert [words.short_duration(seconds) for seconds in (0.004, 0.42, 1, 9.96)] == [
        "0.00 s",
        "0.42 s",
        "1.0 s",
        "0:10",
    ]
    assert words.counted(1, "file") == "1 file"
    assert words.counted(2000, "file") == "2,000 files"


def test_texts_are_cut_by_columns() -> None:
    assert words.width("日本e\u0301") == 5
    assert words.shortened("日本語", 5) == "日本…"
    assert words.shortened("title", 5) == "title"
    assert words.plain("a\x1b[2Jb\nc") == "a [2Jb c"


# Lines


def test_what_a_line_says() -> None:
    assert lines.line(lines.view_of(at(failed=2)), 80) == (
        "squares ━━━━━━━━━━───────  62%    620/1,000   84.0/s  0:07  0:05 left  2 failed"
    )
    assert lines.line(lines.view_of(at()), 100) == (
        "squares ━━━━━━━━━━━━━━━━━━━━━━━━────────────────  62%    620/1,000   84.0/s  0:07  0:05 left"
    )
    assert lines.line(lines.view_of(at(total=None)), 80) == "squares 620   84.0/s  0:07"
    assert lines.line(lines.view_of(at(done=999)), 40, lines.ASCII) == "squares ##############.  99%  0:00 left"
    assert lines.line(lines.view_of(at(done=1000, ended=True)), 80).endswith(" 100%  1,000/1,000  84.0/s  in 7.4 s")
    assert lines.line(lines.view_of(at(), stopped=True), 80).endswith("  62%    620/1,000  84.0/s  stopped after 7.4 s")
    assert lines.line(lines.view_of(at(0, 0, ended=True, title="")), 80).startswith("━━━━")


@pytest.mark.parametrize("columns", [10, 20, 40, 41, 60, 80, 120, 300])
@pytest.mark.parametrize(
    "title", ["", "squares", "a title that is longer than a third of the line", "日本語の題名" * 5]
)
def test_every_line_fits(title: str, columns: int) -> None:
    for done, total in ((0, 0), (0, 9), (123_456, 1_234_567_890), (5, None)):
        for stopped in (False, True):
            view = lines.view_of(at(done, total, failed=done // 2, title=title), stopped)
            line = lines.line(view, columns)
            assert words.width(line) < columns
            assert columns < 40 or total is None or "%" in line


def test_all_is_said_when_it_is_all_and_not_before() -> None:
    assert "100%" not in lines.line(lines.view_of(at(9_999_999, 10_000_000)), 80)
    assert "100%" in lines.line(lines.view_of(at(10_000_000, 10_000_000)), 80)
