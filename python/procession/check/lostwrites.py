"""Lost writes: a child changes a global, which is its own copy, and its parent goes on with the old value.

Two witnesses have to agree, for most programs change globals in children on purpose: caches, connections, counters of
their own.

- The run: the global was changed in the child, by its target or a task and not by a pool's initializer; and when the
  parent ended it had not changed there (what the parent sets itself is its own) and was not what the child had made it.
- The text: code that the child can reach writes it; and code that only the parent runs, after it started the child,
  reads it. A cache is read by the functions that the child runs as well. Where the child binds the name to something
  new, as an initializer would, and the parent's code binds it too, each has its own, and nothing is said.
"""

from __future__ import annotations

import ast
import linecache
import re
from collections import defaultdict

from .finding import Finding, Place
from .journal import events
from .sources import MODULE, Program, Use

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from typing import Any

    from .sources import Where

    Event = dict[str, Any]

__all__ = ["Run", "find"]


class Run:
    """The journals of a run, by what is asked."""

    def __init__(self, directory: str) -> None:
        self.started: dict[int, Event] = {}  # by the child's pid
        self.base: dict[int, dict[tuple[str, str], int]] = {}
        self.final: dict[int, dict[tuple[str, str], int]] = {}
        self.tasks: dict[int, list[Where]] = defaultdict(list)
        self.who: dict[int, str] = {}
        self.others: dict[str, list[Event]] = defaultdict(list)
        modules: dict[str, str] = {}
        for event in events(directory):
            kind, pid = event["event"], event["pid"]
            self.who.setdefault(pid, event["who"])
            modules.update(event.get("modules", {}))
            if kind == "started":
                self.started[event["child"]] = event
            elif kind in ("base", "final"):
                values = {(file, name): digest for file, name, digest in event["globals"]}
                (self.base if kind == "base" else self.final)[pid] = values
            elif kind == "task" and event["function"]:
                self.tasks[pid].append((event["function"][0], event["function"][1]))
            else:
                self.others[kind].append(event)
        self.program: Program = Program(modules)

    def child_functions(self, pid: int) -> set[Where]:
        """What a child can run: its target, its tasks, and all that they may call."""
        target = self.started[pid]["target"]
        begin = [(target[0], target[1])] if target else []
        return self.program.reachable([*begin, *self.tasks[pid]], by_name=True)


def find(directory: str) -> list[Finding]:
    """The lost writes of a run."""
    run = Run(directory)
    last: dict[tuple[int, str, str], Event] = {}
    for event in run.others["changed"]:
        last[event["pid"], event["file"], event["name"]] = event
    found = []
    for event in last.values():
        if event["pid"] in run.started and (finding := _Case(run, event).finding()) is not None:
            found.append(finding)
    return found


class _Case:
    """One global that one child changed."""

    def __init__(self, run: Run, event: Event) -> None:
        self.run, self.event = run, event
        self.key = event["file"], event["name"]
        self.start = run.started[event["pid"]]
        self.parent: int = self.start["pid"]
        self.attributes = set(event["attributes"])
        self.child = run.child_functions(event["pid"])

    def finding(self) -> Finding | None:
        """None if it is none."""
        if self._is_the_parents_own():
            return None
        writes = self._writes()
        regions = _after_start(self.run.program, self.start["stack"])
        reads = self._reads(regions)
        if not writes or not reads or self._binds_its_own(writes, regions):
            return None
        return self._told(writes[0], reads[0])

    def _is_the_parents_own(self) -> bool:
        """Whether the parent's value changed as well, or is the child's."""
        final = self.run.final.get(self.parent)
        if final is None:
            return False  # it was killed
        mine = final.get(self.key)
        return mine == self.event["digest"] or mine != self.run.base.get(self.parent, {}).get(self.key)

    def _is_meant(self, use: Use) -> bool:
        if use.name == "self":
            return use.attribute in self.attributes
        if (use.file, use.name) != self.key:
            return False
        return not use.attribute or not self.attributes or use.attribute in self.attributes

    def _writes(self) -> list[Use]:
        uses = [use for use in self._uses(self.child) if use.how != "read" and self._is_meant(use)]
        return sorted(uses, key=lambda use: (use.name == "self", use.how == "bind", use.line))

    def _uses(self, functions: set[Where]) -> list[Use]:
        known = [self.run.program.function(where) for where in sorted(functions)]
        return [use for function in known if function is not None for use in function.uses]

    def _reads(self, regions: list[_Region]) -> list[Use]:
        program = self.run.program
        reads, called = [], set()
        for region in regions:
            function = program.function(region.where)
            if function is None or region.where in self.child:
                continue
            reads += [use for use in function.uses if use.line in region and self._is_read(use)]
            called |= {where for line, where in function.calls if line in region}
        parents = program.reachable(called - self.child, by_name=False) - self.child
        deeper = [use for use in self._uses(parents) if use.name != "self" and self._is_read(use)]
        return sorted(reads, key=lambda use: use.line) + sorted(deeper, key=lambda use: (use.file, use.line))

    def _is_read(self, use: Use) -> bool:
        """Whether the parent gets at the value here: reads it, or calls a method that does."""
        if use.how == "bind":
            return False
        if self._is_meant(use) and use.name != "self":
            return use.how == "read" or self.event["after"].startswith(("a Queue", "a SimpleQueue", "a LifoQueue"))
        if (use.file, use.name) != self.key:
            return False
        methods = self.run.program.methods(use.attribute)
        return any(inner.how == "read" and self._is_meant(inner) for inner in self._uses(set(methods)))

    def _binds_its_own(self, writes: list[Use], regions: list[_Region]) -> bool:
        """Whether the parent's code gives the name a value of its own, where the child does too, or afterwards."""
        program = self.run.program
        binds = [use for use in self._parents_binds() if use.name != "self"]
        if all(write.how == "bind" and not _is_of_old(program, write) for write in writes):
            return bool(binds) or all(_is_made_once(program, write) for write in writes)
        return any(use.within == region.where and use.line > region.line for use in binds for region in regions)

    def _parents_binds(self) -> list[Use]:
        """Where code that only the parent runs binds the name: under the guard, or in functions of its own."""
        program, found = self.run.program, []
        for file in {self.key[0], *(site.rpartition(":")[0] for site in self.start["stack"])}:
            module = program.module(file)
            for name in module.functions:
                function = program.function((file, name))
                if function is None or function.where in self.child:
                    continue
                uses = [use for use in function.uses if use.how == "bind" and self._is_meant(use)]
                if name == MODULE:
                    uses = [use for use in uses if _is_guarded(module.tree, use.line)]
                found += uses
        return found

    # What is told

    def _told(self, write: Use, read: Use) -> Finding:
        event = self.event
        if write.attribute in event["attributes"]:
            event = {**event, "before": "", "after": event["attributes"][write.attribute]}
        name = self.key[1] + (f".{write.attribute}" if write.attribute else "")
        title = f"`{name}` is changed in a child process, which has a copy of its own: its parent never sees it"
        details = {"variable": name, "file": self.key[0], "before": event["before"], "after": event["after"]}
        known = event["before"] and event["before"] != event["after"]
        values = f", from {event['before']} to {event['after']}" if known else ""
        advice = _advice(
            name, event, bool(self.run.tasks[event["pid"]]), _line(write), self.run.program.package(self.key[0])
        )
        places = (
            Place.at(f"changed here in the child{values}", _site(write), process=self.run.who[event["pid"]]),
            Place.at("read here in its parent", _site(read), process=self.run.who[self.parent]),
            _start_place(self.run, self.start),
        )
        return Finding("lost-write", title, places, advice, details)


def _start_place(run: Run, start: Event) -> Place:
    stack = start["stack"]
    return Place.at("the child is started here", stack[0] if stack else "", process=run.who[start["pid"]], stack=stack)


def _site(use: Use) -> str:
    return f"{use.within[0]}:{use.line} in {use.within[1]}"


def _line(write: Use) -> str:
    """The statement as it is written."""
    return linecache.getline(write.within[0], write.line).split("  #")[0].strip()


def _advice(name: str, event: Event, is_task: bool, line: str, package: str) -> tuple[str, ...]:
    plain, function = name.rpartition(".")[2], event["target"][1] if event["target"] else "work"
    if event["after"].startswith(("a Queue", "a SimpleQueue", "a LifoQueue", "a PriorityQueue")):
        return (
            "# queue.Queue is for the threads of one process. For processes:",
            f"{plain} = {package}.Queue()",
            f"process = Process(target={function}, args=(..., {plain}))",
        )
    if is_task:
        return (
            "# What a task returns is what its parent gets:",
            f"def {function}(item):",
            "    ...",
            "    return value",
            "",
            f"{plain} = pool.map({function}, items)  # put together here, in the parent",
        )
    if event["after"].lstrip("-").replace(".", "", 1).isdigit():
        kind, zero = ("d", "0.0") if "." in event["after"] else ("q", "0")
        written = f"self.{plain}" if f"self.{plain}" in line else name
        return (
            "# A number that all processes share:",
            f'{written} = {package}.Value("{kind}", {zero})',
            f"process = Process(target={function}, args=(..., {name.partition('.')[0]}))",
            "",
            f"with {written}.get_lock():  # in the child",
            "    " + re.sub(rf"(?<![\w.]){re.escape(written)}\b", f"{written}.value", line),
        )
    if package == "procession":
        return (
            "# Return it, and ask the child for it:",
            f"def {function}(...):",
            "    ...",
            "    return value",
            "",
            f"{plain} = process.result()",
        )
    return (
        "# Send it back, and put it together in the parent:",
        "results = multiprocessing.Queue()",
        f"process = Process(target={function}, args=(..., results))",
        "",
        "results.put(value)  # in the child",
        f"{plain} = results.get()  # in the parent, before process.join()",
    )


# The text


def _is_of_old(program: Program, write: Use) -> bool:
    """Whether a name is bound to something made of its old value: `total = total + 1`."""
    function = program.function(write.within)
    assert function is not None
    return any(
        use.how == "read" and use.line == write.line and (use.file, use.name) == (write.file, write.name)
        for use in function.uses
    )


def _is_made_once(program: Program, write: Use) -> bool:
    """Whether a name is bound where it has been looked at, as by `if client is None: client = connect()`."""
    function = program.function(write.within)
    assert function is not None
    return any(
        use.how == "read" and use.line < write.line and (use.file, use.name) == (write.file, write.name)
        for use in function.uses
    )


def _is_guarded(tree: ast.Module, line: int) -> bool:
    """Whether a line of a module's own code is under `if __name__ == "__main__"`."""
    for node in tree.body:
        if isinstance(node, ast.If) and node.lineno <= line <= (node.end_lineno or 0):
            return "__name__" in ast.unparse(node.test)
    return False


class _Region:
    """The lines of a function that run after a line of it: those below, and the loops it is in."""

    def __init__(self, where: Where, line: int, node: ast.AST) -> None:
        self.where, self.line = where, line
        self._loops: list[tuple[int, int]] = []
        for inner in ast.walk(node):
            if not isinstance(inner, ast.stmt) or not inner.lineno <= line <= (inner.end_lineno or 0):
                continue
            if isinstance(inner, (ast.For, ast.AsyncFor, ast.While)):
                self._loops.append((inner.lineno, inner.end_lineno or 0))
            elif isinstance(inner, (ast.With, ast.AsyncWith)):
                header = max(item.context_expr.end_lineno or 0 for item in inner.items)
                self.line = max(self.line, header) if line <= header else self.line
            elif not hasattr(inner, "body"):
                self.line = max(self.line, inner.end_lineno or 0)

    def __contains__(self, line: int) -> bool:
        return line > self.line or any(first <= line <= last for first, last in self._loops)


def _after_start(program: Program, stack: list[str]) -> list[_Region]:
    """What the thread that started a child runs afterwards, in each function on its stack."""
    regions = []
    for site in stack:
        place = Place.at("", site)
        function = program.function((place.file, place.function))
        if function is not None:
            regions.append(_Region(function.where, place.line, function.node))
    return regions
