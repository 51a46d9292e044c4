"""`procession report`: what a run's events add up to, and the page that tells it."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import procession
from test_timeline import POOL, slices, trace_of

from procession._sites import short_site
from procession.timeline.charts import lanes, steps_of
from procession.timeline.chrome import source_of
from procession.timeline.page import page
from procession.timeline.summary import BINS, Summary, summarize
from procession.timeline.words import bytes_, count, seconds, sentences, share

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Given:
    """Events of one's own making: a process `1`, and what is added."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.about: dict[str, Any] = {"recorded by": "procession", "seconds": seconds, "command": "program.py <b>"}
        self.made: list[dict[str, Any]] = []
        self.process(1, 0, seconds)

    def process(self, pid: int, began: float, ended: float, end: str = "ended", **args: Any) -> None:
        self.slice("process", f"P-{pid}", pid, began, ended, end=end, parent=0, **args)
        self.made[-1]["args"]["pid"] = pid

    def slice(self, cat: str, name: str, pid: int, began: float, ended: float, **args: Any) -> None:
        span = {"ts": began * 1e6, "dur": (ended - began) * 1e6}
        self.made.append({"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": pid, **span, "args": args})

    def wait(self, began: float, ended: float, **args: Any) -> None:
        args = {"action": "acquire", "object": "Lock 'x'", "at": "/home/u/bank.py:3 in pay", **args}
        self.slice("wait", "acquire: Lock 'x'", 1, began, ended, **args)

    def counter(self, name: str, at: float, **args: float) -> None:
        self.made.append({"ph": "C", "name": name, "pid": 1, "ts": at * 1e6, "args": args})

    def events(self) -> Any:
        return iter(self.made)

    def summary(self) -> Summary:
        return summarize(self)


def test_work_and_waits_are_spread_over_the_time_they_took() -> None:
    given = Given(BINS / 10)
    given.wait(1.05, 1.15)
    given.slice("task", "f", 1, 1.0, 1.25, task=0, items=3)
    given.wait(3.0, 4.0)  # outside any task
    given.slice("task", "f", 1, 5.0, 5.05, task=1, failed=1)
    summary = given.summary()
    [worker] = summary.workers.values()
    assert worker.busy == pytest.approx(0.3)
    assert worker.waited == pytest.approx(0.1)
    assert worker.work[10:14] == pytest.approx([0.1, 0.1, 0.05, 0])
    assert worker.waits[10:12] == pytest.approx([0.05, 0.05])
    assert sum(worker.work) == pytest.approx(0.3)
    assert worker.utilisation == pytest.approx(0.3 / 24)
    assert (summary.tasks, summary.items, summary.failed, summary.unfinished) == (2, 4, 1, 0)
    assert [place for place, tasks in enumerate(summary.throughput) if tasks] == [12, 50]
    assert [(task.number, task.failed) for task in summary.failures] == [(1, 1)]
    [wait] = summary.contention
    assert (wait.count, wait.seconds, wait.longest) == (2, pytest.approx(1.1), pytest.approx(1.0))
    assert list(wait.places) == ["/home/u/bank.py:3 in pay"]


def test_memory_holds_until_the_next_sample_or_the_end() -> None:
    given = Given()
    given.process(2, 0, 5)
    given.counter("memory", 1, private=100, shared=50)
    given.counter("memory", 6, private=300, shared=50)
    summary = given.summary()
    one, two = summary.processes.values()
    parts = summary.memory_of(one)
    assert (parts[0], parts[summary.part(1)], parts[summary.part(5.9)], parts[-1]) == (0, 100, 100, 300)
    assert summary.peak == (300, pytest.approx(6, abs=0.1))
    assert (one.peak, two.peak) == (300, 0)


def test_only_the_longest_are_kept_and_all_are_counted() -> None:
    given = Given()
    for number in range(200):
        given.slice("task", "f", 1, number / 100, number / 100 + (number % 50 + 1) / 1e4, task=number)
    summary = given.summary()
    assert summary.tasks == 200
    assert len(summary.longest) == 15
    assert [task.seconds for task in summary.longest] == sorted(
        (task.seconds for task in summary.longest), reverse=True
    )
    assert summary.longest[0].seconds == pytest.approx(50e-4)


def test_a_run_without_anything_is_told() -> None:
    summary = Given().summary()
    assert sentences(summary) == ["The program ran for 10.0 s in 1 process. It gave no tasks to a pool or an executor."]
    text = page(summary)
    assert 'id="workers"' not in text
    assert 'id="processes"' in text
    nothing = Given()
    nothing.about, nothing.made = {"recorded by": "procession"}, []
    assert "<h1>A run</h1>" in page(nothing.summary())


def test_what_went_wrong_is_in_the_words() -> None:
    given = Given()
    given.about["shortfall"] = "7 records had no place and are missing: a full disk"
    given.process(2, 0, 3, "killed by SIGKILL", exitcode=-9)
    given.process(3, 0, 3, "ended by SIGTERM", exitcode=-15)
    given.slice("task", "f", 2, 0, 3, task=0, unfinished=True)
    given.slice("task", "f", 1, 0, 9, task=1, failed=1)
    said = " ".join(sentences(given.summary()))
    assert "1 call failed." in said
    assert "1 task never ended." in said
    assert "Not all ended well: P-2 (2) killed by SIGKILL." in said
    assert "Not all was recorded: 7 records had no place" in said


def test_what_comes_from_the_program_is_text_on_the_page() -> None:
    evil = "<script>alert(1)</script>&\"'"
    given = Given()
    given.process(2, 0, 9, evil, **{"started at": f"/home/{evil}.py:1 in {evil}"})
    given.wait(1, 2, object=evil, at=f"/x/{evil}.py:1 in {evil}")
    given.slice("task", evil, 1, 0, 3, task=0, failed=1)
    given.counter("memory", 1, private=10, shared=5)
    given.about["command"] = evil
    text = page(given.summary())
    assert "<script" not in text
    assert "&lt;script&gt;" in text


class Checker(html.parser.HTMLParser):
    """Holds a page to closing what it opens, and to loading nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe"), tag
        assert not any(name in ("src", "href") for name, _ in attrs)
        if tag not in ("meta", "br", "line", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "rect", "path"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real run: out.json, its recording, and page.html from the command."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "program.py").write_text(POOL)
    command = ["run", "--trace", "out.json", "--record", "kept", "--report", "page.html", "program.py", "fork"]
    done = procession(*command, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_trace_and_recording_give_the_same_page(run: Path) -> None:
    done = procession("report", "out.json", cwd=run)
    assert (done.returncode, done.stdout) == (0, "out.html\n")
    assert procession("report", "kept", "-o", "other.html", cwd=run).returncode == 0
    shown = procession("report", "kept", "-o", "-", cwd=run).stdout
    text = (run / "page.html").read_text()
    assert (run / "out.html").read_text() == (run / "other.html").read_text() == shown == text
    checker = Checker()
    checker.feed(text)
    assert checker.open == []


def test_its_numbers_are_the_traces(run: Path) -> None:
    summary = summarize(source_of(run / "out.json"))
    events = trace_of(run / "out.json")
    tasks = slices(events, "task")
    assert summary.tasks == len(tasks) == 11
    assert summary.items == 8 + 10
    assert summary.failed == sum(event["args"].get("failed", 0) for event in tasks) == 1
    busy = sum(event["dur"] for event in tasks) / 1e6
    assert sum(worker.busy for worker in summary.workers.values()) == pytest.approx(busy)
    assert sum(summary.throughput) == 11
    assert sum(worker.tasks for worker in summary.workers.values()) == 11
    assert {worker.process for worker in summary.workers.values()} >= {event["pid"] for event in tasks}
    waits = {event["args"]["object"]: event["dur"] / 1e6 for event in slices(events, "wait")}
    [lock] = [wait for wait in summary.contention if "the lock" in wait.object]
    assert lock.seconds == pytest.approx(waits["Lock 'the lock'"])
    text = (run / "page.html").read_text()
    assert re.findall(r'data-tasks="(\d+)"', text) == [str(worker.tasks) for worker in summary.workers.values()]
    assert f"{count(summary.failed, 'call')} failed." in text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_a_browser_shows_it(run: Path, tmp_path: Path) -> None:
    """The real page in a real browser: laid out, everything drawn, nothing fetched, wide and narrow."""
    assert CHROMIUM is not None
    measure = """
        <script>addEventListener("load", () => {
            const all = selector => [...document.querySelectorAll(selector)];
            const boxes = all("section, .figure, svg, table").map(e => e.getBoundingClientRect());
            document.title = JSON.stringify({
                wide: document.documentElement.scrollWidth <= innerWidth,
                fetched: performance.getEntriesByType("resource").length,
                flat: boxes.filter(box => box.height < 10 || box.width < 10).length,
                sections: all("section").map(e => e.id),
                words: document.querySelector(".words").innerText,
                failed: document.querySelector("[data-figure=failed] b").innerText,
                tasks: all(".worker").reduce((sum, e) => sum + Number(e.dataset.tasks), 0),
            });
        });</script>"""
    probe = tmp_path / "probe.html"
    probe.write_text((run / "page.html").read_text().replace("</body>", measure + "</body>"))
    for width in (1200, 500):
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
        command += [f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", probe.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
        title = re.search(r"<title>(.*?)</title>", done.stdout)
        assert title is not None, done.stderr
        told = json.loads(html.parser.unescape(title[1]))
        assert (told["wide"], told["fetched"], told["flat"]) == (True, 0, 0)
        assert told["sections"][0] == "throughput"
        assert {"workers", "waiting", "functions", "failed", "processes"} <= set(told["sections"])
        assert (told["failed"], told["tasks"]) == ("1", 11)
        # One may have done them all, and the other not have begun before the end
        assert re.search(r"(1 worker|2 workers) did 11 tasks \(18 items\)", told["words"])


def test_numbers_have_fitting_units() -> None:
    assert [seconds(value) for value in (0, 2e-6, 0.0012, 0.25, 1.5, 75, 130, 7200)] == [
        *("0 µs", "2 µs", "1.2 ms", "250 ms", "1.50 s", "75.0 s", "130 s", "120 min")
    ]
    assert [bytes_(value) for value in (0, 1000, 2048, 5 << 20, 3 << 40)] == [
        *("0 bytes", "1000 bytes", "2.0 KiB", "5.0 MiB", "3072 GiB")
    ]
    assert [count(0.5), count(3), count(12345.4), count(1, "process"), count(2, "process"), count(2, "task")] == [
        *("0.5", "3", "12,345", "1 process", "2 processes", "2 tasks")
    ]
    assert [share(0), share(0.004), share(0.5), share(1)] == ["0 %", "0.4 %", "50 %", "100 %"]
    shown = [short_site(site, function=True) for site in ("/a/b/c.py:3 in f", "<string>:1 in <module>")]
    assert shown == ["c.py:3 in f", "<string>:1 in <module>"]


def test_axes_have_round_numbers_and_bars_join() -> None:
    assert steps_of(97, 4) == [0, 25, 50, 75, 100]
    assert steps_of(0, 4) == [0, 1]
    assert steps_of(0.003, 4) == pytest.approx([0, 0.001, 0.002, 0.003])
    drawn = lanes([(1, 0)] * 5 + [(0, 0)] * 5, (0, 1), "a worker", [])
    assert drawn.count("M0,26V0H500V26Z") == 1
