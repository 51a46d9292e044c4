"""Findings as data: sites, sightings, what survives in a file; and the text they become."""

import json
from pathlib import Path

from procession.check import analyses, finding, report
from procession.check.finding import Finding, Place


def test_a_site_is_taken_apart() -> None:
    place = Place.at("writes", "/a b/c:d.py:12 in Account.deposit")
    assert (place.file, place.line, place.function) == ("/a b/c:d.py", 12, "Account.deposit")
    assert place.site == "/a b/c:d.py:12 in Account.deposit"
    assert Place.at("writes", "somewhere").site == "somewhere"
    assert Place.at("writes", "").site == ""


def test_sightings_of_one_mistake_are_one_finding() -> None:
    one = Finding("race", "first", (Place("reads", "a.py", 1), Place("writes", "a.py", 2)))
    same = Finding("race", "second", (Place("writes", "a.py", 2), Place("reads", "a.py", 1)), count=2)
    other = Finding("copies", "third", (Place("writes", "a.py", 2),))
    assert [(found.title, found.count) for found in finding.merged([one, other, same])] == [("first", 3), ("third", 1)]


def test_what_is_noted_is_read_again_but_for_a_line_cut_off(tmp_path: Path) -> None:
    noted = Finding("deadlock", "x", (Place("waits", "a.py", 3, stack=("a.py:3 in f",)),), ("# mend",), {"n": 1})
    finding.note(noted, str(tmp_path))
    finding.note(noted, str(tmp_path))
    [path] = tmp_path.iterdir()
    path.write_text(path.read_text()[:-20])
    assert finding.noted(str(tmp_path)) == [noted]


def test_a_directory_that_is_gone_is_no_error(tmp_path: Path) -> None:
    finding.note(Finding("race", "x"), str(tmp_path / "gone"))


def test_an_analysis_that_fails_takes_nothing_from_the_others(tmp_path: Path) -> None:
    finding.note(Finding("race", "x"), str(tmp_path))
    (tmp_path / "journal-1.jsonl").write_text(json.dumps({"event": "sent", "pid": 1}) + "\n")
    result = analyses.analyse(str(tmp_path))
    assert [found.title for found in result.findings] == ["x"]
    assert "KeyError" in result.failures[-1]


def test_text_is_as_wide_as_a_terminal_and_coloured_on_wish(tmp_path: Path) -> None:
    source = tmp_path / "bank.py"
    source.write_text("def deposit():\n    total = 1\n    return total\n")
    stack = (f"{source}:2 in deposit", "/elsewhere/main.py:7 in main")
    place = Place.at("writes", stack[0], process="worker, pid 1", thread="Thread-2", stack=stack)
    text = report.render([Finding("race", "word " * 30, (place,), ("with lock:", "    ..."), count=4)])
    assert max(len(line) for line in text.splitlines() if tmp_path.name not in line) <= 80
    assert "Writes (worker, pid 1, thread Thread-2):" in text
    assert "     > 2 |     total = 1\n" in text
    assert "/elsewhere/main.py:7 in main" in text
    assert "(4 times)" in text.replace("\n   ", " ")
    assert "\033[" not in text
    narrow = report.render([Finding("race", "word " * 30, (Place("writes", process="worker, pid 1"),))], width=40)
    assert max(map(len, narrow.splitlines())) <= 40
    coloured = report.render([Finding("race", "x", (place,))], coloured=True)
    assert "\033[1;31m1. race:\033[0m" in coloured
