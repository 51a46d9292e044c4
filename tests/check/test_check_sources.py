"""What is read out of a program's text: who calls whom, and where globals are read and written."""

import textwrap
from pathlib import Path

from procession.check.sources import MODULE, Program


def program(directory: Path, **texts: str) -> tuple[Program, dict[str, str]]:
    files = {}
    for name, text in texts.items():
        path = directory / f"{name}.py"
        path.write_text(textwrap.dedent(text).lstrip())
        files[name] = str(path)
    return Program({path: name for name, path in files.items()}), files


def uses(found: Program, file: str, function: str) -> list[tuple[str, str, int, str]]:
    known = found.function((file, function))
    assert known is not None
    return sorted((use.name, use.attribute, use.line, use.how) for use in known.uses)


def test_how_globals_are_used(tmp_path: Path) -> None:
    found, files = program(
        tmp_path,
        main="""
        total, names, table = 0, [], {}
        def work(names):
            global total
            total += 1
            table["a"] = total
            names.append(1)
            local = total
        def more():
            names.append(2)
            names[0] = 3
            del table["a"]
            for total in range(3):
                print(total)
        """,
    )
    assert uses(found, files["main"], "work") == [
        ("table", "", 5, "change"),
        ("total", "", 4, "change"),
        ("total", "", 5, "read"),
        ("total", "", 7, "read"),
    ]
    assert uses(found, files["main"], "more") == [
        ("names", "", 9, "change"),
        ("names", "", 10, "change"),
        ("table", "", 11, "change"),
    ]
    assert ("names", "", 1, "bind") in uses(found, files["main"], MODULE)


def test_names_of_other_modules_and_attributes(tmp_path: Path) -> None:
    found, files = program(
        tmp_path,
        state="""
        counts = {}
        class Config:
            ready = False
            def get_ready(self):
                self.ready = True
        """,
        main="""
        import state
        import state as s
        from state import Config, counts as mine
        def work():
            state.counts["a"] = 1
            s.counts.update(b=2)
            mine.clear()
            Config.ready = True
            return Config.ready
        """,
    )
    assert uses(found, files["main"], "work") == [
        ("Config", "ready", 8, "change"),
        ("Config", "ready", 9, "read"),
        ("counts", "", 5, "change"),
        ("counts", "", 6, "change"),
        ("counts", "", 7, "change"),
    ]
    assert uses(found, files["state"], "Config.get_ready") == [("self", "ready", 5, "change")]


def test_who_can_be_reached(tmp_path: Path) -> None:
    found, files = program(
        tmp_path,
        helpers="""
        def one():
            def inner():
                two()
            return inner()
        def two(): pass
        def handler(): pass
        """,
        main="""
        import helpers, signal
        from helpers import handler
        class Worker:
            def run(self):
                self.step(helpers.one)
            def step(self, function): function()
        def main(worker):
            signal.signal(2, handler)
            worker.run()
            lambda: other()
        def other(): pass
        """,
    )
    reached = found.reachable([(files["main"], "main")], by_name=True)
    assert {name for _, name in reached} == {
        "main",
        "other",
        "Worker.run",
        "Worker.step",
        "one",
        "one.<locals>.inner",
        "two",
    }


def test_a_file_that_cannot_be_parsed_is_empty(tmp_path: Path) -> None:
    found, files = program(tmp_path, broken="def work(:\n")
    assert found.function((files["broken"], "work")) is None
    assert found.reachable([(files["broken"], "work"), ("/nowhere.py", "f")], by_name=True) == set()


def test_imports_of_everything_and_in_a_circle(tmp_path: Path) -> None:
    found, files = program(
        tmp_path,
        one="""
        from two import *
        from two import gone
        table = {}
        """,
        two="""
        from one import *
        from one import gone
        def work():
            table["a"] = gone
            missing()
        """,
    )
    assert uses(found, files["two"], "work") == [("table", "", 4, "change")]
    assert found.find(files["one"], "work") == (files["two"], "work")
    assert found.find(files["one"], "missing") is None
