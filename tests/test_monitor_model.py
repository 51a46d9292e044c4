"""The monitor's pure part: two looks in, rows, rates, states, orders and sentences out. No process, no clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from watched import (
    START,
    event,
    lock,
    look,
    owner,
    pool,
    process,
    program,
    queue,
    sample,
    thread,
    waits,
    without,
    worker,
)

from procession.monitor import words
from procession.monitor.columns import Choice, fit
from procession.monitor.details import details, hint
from procession.monitor.keys import footer
from procession.monitor.model import LINGER_S, Model, filtered
from procession.monitor.rows import ProcessRow
from procession.monitor.summary import summary, tab_titles
from procession.monitor.tabs import TABS
from procession.statistics import BarrierStatistics

PROCESSES, QUEUES, LOCKS, POOLS, OBJECTS = TABS
CROSSED = program(
    process(1, 0),
    process(11, 1, threads=(thread(11, waits=waits("acquire", 101, since=START + 2, site="/x/bank.py:31 in pay")),)),
    process(12, 1, threads=(thread(12, waits=waits("acquire", 100, since=START + 3, site="/x/bank.py:44 in audit")),)),
    objects=(
        lock(100, "accounts", owner=owner(11), waiters=((12, 12),)),
        lock(101, "ledger", owner=owner(12), waiters=((11, 11),)),
    ),
)


def seen(*looks: Any, keep: bool = False) -> Model:
    model = Model(keep)
    for each in looks:
        model.take(each)
    return model


def listed(model: Model, tab: Any, column: str = "", reverse: bool = False, **choice: Any) -> list[Any]:
    number = next((n for n, each in enumerate(tab.columns) if each.title == column), tab.first)
    return list(tab.rows(model, tab.columns[number].order, Choice(number, reverse, **choice)))


def texts(rows: list[Any], tab: Any, column: str) -> list[str]:
    found = next(each for each in tab.columns if each.title == column)
    return [found.text(row) for row in rows]


# Rates


def test_processor_time_becomes_a_share_of_a_core() -> None:
    model = seen(look(0, program(), samples=(sample(1, 10.0),)))
    assert texts(listed(model, PROCESSES), PROCESSES, "CPU%") == [words.UNKNOWN]  # not 0: nobody knows yet
    model.take(look(2, program(), samples=(sample(1, 11.0),)))
    assert texts(listed(model, PROCESSES), PROCESSES, "CPU%") == ["50.0"]


def test_memory_is_private_and_a_part_of_the_shared() -> None:
    model = seen(look(0, program(), samples=(sample(1, uss=1 << 20, pss=3 << 20),)))
    rows = listed(model, PROCESSES)
    assert texts(rows, PROCESSES, "PRIVATE") == ["1.0M"]
    assert texts(rows, PROCESSES, "SHARED") == ["2.0M"]
    model.take(look(1, program(), samples=(sample(1, uss=None, pss=None),)))  # there was no time to look
    assert texts(listed(model, PROCESSES), PROCESSES, "PRIVATE") == ["1.0M"]


def test_a_queues_counters_become_rates_also_where_they_wrap() -> None:
    model = seen(
        look(0, program(objects=(queue(5, depth=3, put=2**32 - 10, taken=0),))),
        look(2, program(objects=(queue(5, depth=6, put=10, taken=4),))),
    )
    rows = listed(model, QUEUES)
    assert texts(rows, QUEUES, "PUT/s") == ["10"]
    assert texts(rows, QUEUES, "GOT/s") == ["2.0"]
    assert texts(rows, QUEUES, "DEPTH") == ["6"]
    assert texts(rows, QUEUES, "DEPTH LATELY")[0].strip() == "▅█"


def test_contention_is_the_share_that_waited_lately() -> None:
    model = seen(look(0, program(objects=(lock(5, acquired=100, contended=100),))))
    assert listed(model, LOCKS)[0].contention == 1.0  # ever
    model.take(look(1, program(objects=(lock(5, acquired=200, contended=110),))))
    assert listed(model, LOCKS)[0].contention == pytest.approx(0.1)
    assert texts(listed(model, LOCKS), LOCKS, "TAKEN/s") == ["100"]


def test_a_pools_time_left_follows_its_rate() -> None:
    model = seen(
        look(0, program(pools=(pool(submitted=100, done=10),))),
        look(1, program(pools=(pool(submitted=100, done=20, failed=5, running=2, waiting=78),))),
    )
    (row,) = listed(model, POOLS)
    assert (row.rate, row.left_s, row.share) == (10.0, 8.0, 0.2)
    assert texts([row], POOLS, "WORK")[0].split() == ["20%", "██▍", "work"]
    model.take(look(2, program(pools=(pool(submitted=10, done=1),))))  # it was given other work: it counts anew
    assert listed(model, POOLS)[0].rate is None


def test_workers_stand_below_their_pool_with_their_task() -> None:
    watched = program(
        process(1, 0), process(2, 1), process(3, 1), pools=(pool(submitted=4, workers=(worker(2, 7, 3), worker(3))),)
    )
    model = seen(look(1, watched))
    assert texts(listed(model, POOLS), POOLS, "POOL") == ["pool", "├ 2 Process-2", "└ 3 Process-3"]
    assert texts(listed(model, POOLS), POOLS, "WORK")[1:] == [
        "runs work, task 7 item 3 for 1.0 s",
        "idle: waits for a task",
    ]
    assert texts(listed(model, PROCESSES), PROCESSES, "STATE")[2] == "idle: waits for a task"


# States


def test_a_wait_says_for_what_how_long_and_who_has_it() -> None:
    waiting = waits("acquire", 100, since=START + 1, site="/home/user/bank.py:31 in pay")
    watched = program(
        process(1, 0), process(2, 1, threads=(thread(2, waits=waiting),)), objects=(lock(100, "vault", owner=owner(1)),)
    )
    model = seen(look(5, watched))
    state = listed(model, PROCESSES)[1].state
    assert state.kind == "waiting"
    assert state.text.startswith("waits 4.0 s for Lock 'vault', held by Process-1 (pid 1) since ")
    assert state.text.endswith("; at bank.py:31")


@pytest.mark.parametrize(
    ("waiting", "text"),
    [
        (waits("get", 5, site="/x/a.py:1 in f"), "waits 3.0 s to get from Queue 'orders', which is empty; at a.py:1"),
        (waits("put", 5), "waits 3.0 s to put into Queue 'orders', which is full"),
        (waits("join", pid=1), "waits 3.0 s for the end of Process-1 (pid 1)"),
        (waits("join", pid=77), "waits 3.0 s for the end of pid 77"),
        (waits("get", 999), "waits 3.0 s to get from an object that is gone, which is empty"),
        (waits("dream"), "waits 3.0 s (dream) on something"),
    ],
)
def test_every_wait_is_a_sentence(waiting: Any, text: str) -> None:
    watched = program(process(1, 0), process(2, 1, threads=(thread(2, waits=waiting),)), objects=(queue(5, "orders"),))
    assert listed(seen(look(3, watched)), PROCESSES)[1].state.text == text


@pytest.mark.parametrize(
    ("letter", "used", "kind"),
    [
        ("R", 0.001, "running"),
        ("S", 0.9, "running"),
        ("S", 0.0, "sleeping"),
        ("T", 0.0, "stopped"),
        ("Z", 0.0, "ended"),
    ],
)
def test_what_else_a_process_does_the_system_tells(letter: str, used: float, kind: str) -> None:
    model = seen(
        look(0, program(), samples=(sample(1, 0.0, letter),)), look(1, program(), samples=(sample(1, used, letter),))
    )
    assert listed(model, PROCESSES)[0].state.kind == kind


def test_a_circle_of_waits_is_a_deadlock() -> None:
    model = seen(look(4, CROSSED))
    assert model.circles == []  # once may be twice half of it
    model.take(look(5, CROSSED))
    (circle,) = model.circles
    assert {party.who for party in circle.parties} == {"Process-11 (pid 11)", "Process-12 (pid 12)"}
    assert "Process-11 (pid 11) waits for Lock 'ledger' at bank.py:31" in str(circle)
    rows = listed(model, PROCESSES)
    assert [row.state.kind for row in rows] == ["sleeping", "deadlock", "deadlock"]
    assert rows[1].state.text.startswith("DEADLOCK: waits 3.0 s for Lock 'ledger', held by Process-12")


def test_a_circle_through_a_join_is_one_too_and_a_chain_is_none() -> None:
    joins = process(1, 0, threads=(thread(1, waits=waits("join", pid=2)),))
    wants = process(2, 1, threads=(thread(2, waits=waits("acquire", 100)),))
    third = process(3, 1, threads=(thread(3, waits=waits("acquire", 100)),))  # waits too, but is in no circle
    watched = program(joins, wants, third, objects=(lock(100, owner=owner(1)),))
    model = seen(look(0, watched), look(1, watched))
    assert [set(circle.nodes) for circle in model.circles] == [{(1, 1001), (2, 1002)}]
    model.take(look(2, program(process(1, 0), wants, third, objects=(lock(100, owner=owner(1)),))))
    assert model.circles == []


def test_a_circle_with_a_timeout_in_it_ends_by_itself() -> None:
    first, *others = CROSSED.processes
    patient = [each for each in others if each.threads[0].waits is not None]
    (hasty,) = patient[0].threads
    hasty = replace(hasty, waits=replace(hasty.waits, timed=True))
    processes = tuple(replace(each, threads=(hasty,)) if each is patient[0] else each for each in (first, *others))
    watched = replace(CROSSED, processes=processes)
    model = seen(look(4, watched), look(5, watched))
    assert model.circles == []
    assert [row.state.kind for row in listed(model, PROCESSES)] == ["sleeping", "waiting", "waiting"]


def test_a_program_keeps_its_name_when_its_first_process_has_died() -> None:
    whole = program(process(1, 0), process(2, 1))
    left = replace(without(whole, 1), pid=2, command="python -c 'from procession ...'")
    model = seen(look(0, whole), look(1, left))
    (family,) = model.families.values()
    assert (family.program.pid, family.program.command) == (1, whole.command)


def test_a_circle_of_other_waits_each_time_is_none() -> None:
    again = replace(
        CROSSED,
        processes=(
            *CROSSED.processes[:2],
            process(12, 1, threads=(thread(12, waits=waits("acquire", 100, since=START + 4)),)),
        ),
    )
    assert seen(look(4, CROSSED), look(5, again)).circles == []


def test_a_thread_that_waits_for_itself_is_a_circle_of_one() -> None:
    alone = process(1, 0, threads=(thread(1, waits=waits("acquire", 100)),))
    watched = program(alone, objects=(lock(100, owner=owner(1)),))
    model = seen(look(0, watched), look(1, watched))
    assert [circle.nodes for circle in model.circles] == [((1, 1001),)]


# What ends


def test_a_process_that_ended_stays_for_a_while() -> None:
    both = program(process(1, 0), process(2, 1))
    model = seen(look(0, both), look(1, without(both, 2)))
    assert [row.ended for row in listed(model, PROCESSES)] == [None, START + 1]
    assert listed(model, PROCESSES)[1].state.kind == "ended"
    model.take(look(1 + LINGER_S, without(both, 2)))
    assert len(listed(model, PROCESSES)) == 1


def test_the_dead_are_listed_once_as_long_as_the_registry_has_them() -> None:
    dead = replace(process(2, 0), alive=False)
    model = seen(*(look(now, program(process(1, 0), dead)) for now in range(30)))
    assert [(row.pid, row.ended) for row in listed(model, PROCESSES)] == [(1, None), (2, START)]


def test_a_number_that_is_used_again_is_another_process() -> None:
    first, second = process(2, 1, "old"), replace(process(2, 1, "new"), started=START + 50)
    model = seen(look(0, program(process(1, 0), first)), look(60, program(process(1, 0), second)))
    rows = listed(model, PROCESSES, "NAME")
    assert [(row.info.name, row.ended) for row in rows[1:]] == [("new", None), ("old", START + 60)]


def test_starts_that_are_reckoned_a_little_differently_are_one_process() -> None:
    again = replace(process(1, 0), started=START + 0.02)
    model = seen(look(0, program(process(1, 0))), look(1, program(again)))
    assert len(listed(model, PROCESSES)) == 1


@pytest.mark.parametrize("keep", [False, True])
def test_a_program_that_ended_stays_for_a_while_or_as_long_as_it_is_watched(keep: bool) -> None:
    model = seen(look(0, CROSSED), look(1), keep=keep)
    assert all(row.ended == START + 1 for row in listed(model, PROCESSES) + listed(model, LOCKS))
    assert model.circles == []
    model.take(look(2 + LINGER_S))
    assert len(model.families) == int(keep)


def test_objects_come_and_go() -> None:
    model = seen(look(0, program(objects=(lock(1), queue(2), event(3)))))
    assert [len(listed(model, tab)) for tab in (QUEUES, LOCKS, OBJECTS)] == [1, 1, 3]
    model.take(look(1, program(objects=(queue(2), queue(4)))))
    assert [len(listed(model, tab)) for tab in (QUEUES, LOCKS, OBJECTS)] == [2, 0, 2]


def test_the_inside_of_a_pool_is_listed_with_all_objects_only() -> None:
    model = seen(look(0, program(objects=(queue(2), queue(3, part_of=900)))))
    assert [len(listed(model, tab)) for tab in (QUEUES, OBJECTS)] == [1, 2]


# Orders


def test_processes_are_a_tree_whose_siblings_are_sorted() -> None:
    watched = program(
        process(1, 0), process(2, 1), process(3, 1), process(4, 2, threads=(thread(4), thread(41, "feeder")))
    )
    used = {1: 0.0, 2: 0.1, 3: 0.9, 4: 0.5}
    model = seen(
        look(0, watched, samples=tuple(sample(pid) for pid in used)),
        look(1, watched, samples=tuple(sample(pid, cpu) for pid, cpu in used.items())),
    )
    rows = listed(model, PROCESSES, "CPU%", reverse=True)
    assert [row.prefix + (row.info.name or "") for row in rows] == [
        "Process-1",
        "├─Process-3",
        "└─Process-2",
        "  └─Process-4",
        "    ├─MainThread",
        "    └─feeder",
    ]
    rows = listed(model, PROCESSES, "CPU%", reverse=True, tree=False, threads=False)
    assert [row.info.pid for row in rows] == [3, 4, 2, 1]


def test_processes_that_name_each_other_as_parents_do_not_loop() -> None:
    model = seen(look(0, program(process(1, 0), process(2, 3), process(3, 2))))
    assert [row.info.pid for row in listed(model, PROCESSES)] == [1]


@pytest.mark.parametrize("reverse", [False, True])
def test_what_is_not_known_comes_last(reverse: bool) -> None:
    both = program(process(1, 0), process(2, 0))
    model = seen(look(0, both, samples=(sample(1, 1.0),)), look(1, both, samples=(sample(1, 2.0),)))
    rows = listed(model, PROCESSES, "CPU%", reverse=reverse)
    assert [row.cpu for row in rows] == [1.0, None]


def test_the_filter_wants_every_word_anywhere() -> None:
    model = seen(look(0, program(objects=(lock(1, "accounts"), lock(2, "ledger"), queue(3, "accounts queue")))))
    rows = listed(model, OBJECTS, "NAME")
    assert [row.info.name for row in filtered(rows, "ACC")] == ["accounts", "accounts queue"]
    assert [row.info.name for row in filtered(rows, "acc lock bank.py")] == ["accounts"]
    assert filtered(rows, "  ") == rows


# Widths and words


@pytest.mark.parametrize("tab", TABS, ids=lambda tab: tab.name)
def test_columns_fit_from_40_cells_on_and_fill_the_line(tab: Any) -> None:
    for width in range(40, 200):
        shown = fit(tab.columns, width)
        total = sum(size + 1 for _, size in shown) - 1
        assert total <= width
        assert total == width or not any(column.grow for column, _ in shown)
    assert len(fit(tab.columns, 80)) >= len(tab.columns) - 1
    assert {column.rank for column in tab.columns if column.rank == 0} == {0}


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_what_stands_above_and_below_the_table_fits(width: int) -> None:
    model = seen(look(1, replace(CROSSED, command="/usr/bin/python " + "x" * 200, pools=(pool(submitted=9),))))
    for line in summary(model, width, 2):
        assert sum(len(text) for text, _ in line) <= width
    assert sum(map(len, tab_titles(model, width))) <= width
    assert sum(len(f" {key.shown} {key.name} ") for key in footer(width)) <= width
    assert {"Help", "Quit"} <= {key.name for key in footer(width)}


def test_several_programs_are_counted() -> None:
    other = replace(program(process(7, 0), pid=7), token="other")
    model = seen(look(1, program(), other))
    assert summary(model, 80, 2)[0][0][0] == "2 programs"
    assert len(listed(model, PROCESSES)) == 2


def test_details_tell_all_and_explain() -> None:
    model = seen(look(5, CROSSED))
    accounts = next(row for row in listed(model, LOCKS) if row.info.name == "accounts")
    lines, explained = details(accounts, model)
    assert ("Held by", f"Process-11 (pid 11) since {words.clock(START)}") in lines
    assert ("Waiting", "Process-12 (pid 12) for 2.0 s at bank.py:44 in audit") in lines
    assert "contention" in explained
    first = next(row for row in listed(model, PROCESSES) if isinstance(row, ProcessRow) and row.info.pid == 11)
    assert ("Holds", f"Lock 'accounts' since {words.clock(START)}") in details(first, model)[0]
    for tab in TABS:
        for row in listed(model, tab):
            assert details(row, model)[0]
            assert hint(row, model)


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (None, "–"),
        (0, "0"),
        (999, "999"),
        (1000, "1.0K"),
        (9.94 * 1024, "9.9K"),
        (123 << 20, "123M"),
        (5 << 40, "5.0T"),
    ],
)
def test_sizes(nbytes: float | None, text: str) -> None:
    assert words.size(nbytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (-1, "0.0 s"), (9.94, "9.9 s"), (99.4, "99 s"), (727, "12:07"), (11051, "3:04:11"), (10**6, "11 d")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


def test_names_give_no_orders_to_the_terminal() -> None:
    assert words.visible("a\x1b]0;x\x07b\x9bc\nd") == "a·]0;x·b·c\nd"
    assert words.one_line("a\nb\u202egnp") == "a·b·gnp"


def test_sparklines_and_bars() -> None:
    assert words.sparkline([0, 1, 50, 100], 6) == "  ▁▂▅█"
    assert words.sparkline([], 3) == "   "
    assert words.sparkline([0, 0], 2) == "▁▁"
    assert words.bar(0.5, 4) == "██  "
    assert words.bar(2, 2) == "██"
    assert words.bar(0.55, 2) == "█▏"
    assert [words.rate(number) for number in (None, 0, 0.01, 3.14, 12345)] == ["–", "0", "<0.1", "3.1", "12k"]


def test_a_join_of_a_thread_names_it() -> None:
    joins = replace(waits("join", pid=1), thread=51)
    watched = program(process(1, 0, threads=(thread(1, waits=joins), thread(51, "feeder"))))
    rows = listed(seen(look(3, watched)), PROCESSES)
    assert rows[1].state.text == "waits 3.0 s for the end of its thread feeder (51)"


@pytest.mark.parametrize(("broken", "text"), [(False, "1 of 3 arrived"), (True, "broken")])
def test_a_broken_barrier_is_called_so(broken: bool, text: str) -> None:
    barrier = replace(event(100), kind="Barrier", statistics=BarrierStatistics(3, 1, broken, 0))
    (row,) = listed(seen(look(0, program(objects=(barrier,)))), OBJECTS)
    (now,) = [column for column in OBJECTS.columns if column.title == "NOW"]
    assert now.text(row) == text
