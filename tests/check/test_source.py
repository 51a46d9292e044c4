"""What the race detector reads in a program's text."""

from pathlib import Path

import pytest

from procession._sites import split_site
from procession.check.hooks.lines import may_wait
from procession.check.source import depends, is_polling, subject

PROGRAM = """\
def work(x, a, data):
    while not x.value:
        pass
    while (
        x.value < 3
        and a[0]
    ):
        x.value = x.value + a[1]
    for item in data:
        if x.value:
            break
        if a[2]:
            a[3] = 1
    if x.value:
        return
    ready = lambda: x.value == 1
    seen = x.value
    a[seen] = 5
    x.value = max(seen, 7)
    if (n := x.value) > 3:
        x.value = n
    x.get_obj().value -= 2
    self.counters["a"].value *= 3
    print(x.value)
    with x:
        a[1:3] = data


def other(x, seen):
    x.value = seen
    while True:
        n = x.value
        m = x.value
        x.value = m + 1
        if n > 3:
            break
    return x.value


def more(x, n, lock):
    old = x.value
    new = old + n
    x.value = new
    old = 3
    x.value = old
    if n > x.value:
        x.value = n
    if n > x.value:
        x.value = 0
    if n > x.value:
        with lock:
            if n > x.value:
                x.value = n
"""


@pytest.fixture
def at(tmp_path: Path) -> object:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return lambda line, function="work": f"{file}:{line} in {function}"


def test_reads_that_wait(at):
    polling = {line for line in range(1, 38) if is_polling(at(line))}
    assert polling == {2, 5, 6, 10, 15, 16, 31, 32, 35, 37}


def test_what_may_wait_is_told_without_parsing(at):
    """Nothing that waits is taken for something that does not."""
    for line in range(1, 38):
        file, *_ = split_site(at(line))
        assert may_wait(file, line) or not is_polling(at(line)), line
    assert not may_wait(split_site(at(1))[0], 8)
    assert not may_wait(split_site(at(1))[0], 22)


@pytest.mark.parametrize(
    ("read", "write"),
    [(8, 8), (17, 19), (20, 21), (22, 22), (23, 23)],
    ids=["again", "variable", "walrus", "in-place", "item"],
)
def test_what_is_written_depends_on_what_was_read(at, read, write):
    assert depends(at(read), at(write))


@pytest.mark.parametrize(("read", "write"), [(14, 8), (24, 19), (17, 26), (13, 13), (2, 2)])
def test_what_does_not(at, read, write):
    assert not depends(at(read), at(write))


def test_variables_belong_to_a_function(at):
    assert not depends(at(17), at(30, "other"))


def test_names_of_what_is_accessed(at):
    assert subject(at(22), "write") == ("x", "x.get_obj().value -= 2")
    assert subject(at(23), "write")[0] == "self.counters['a']"
    assert subject(at(24), "read")[0] == "x"
    assert subject(at(2), "read")[0] == "x"
    assert subject(at(26), "write")[0] == "a"


@pytest.mark.parametrize("site", ["", "<string>", "/nowhere.py:3 in f", "/dev/null:1 in f"])
def test_without_a_text_there_is_no_answer(site):
    assert not is_polling(site)
    assert not depends(site, site)
    assert subject(site, "write") == ("", "")


@pytest.mark.parametrize(
    ("read", "write", "answer"),
    [(41, 43, True), (41, 45, False), (46, 47, True), (48, 49, False), (50, 53, False), (52, 53, True)],
)
def test_further_updates(at, read, write, answer):
    assert depends(at(read, "more"), at(write, "more")) is answer
