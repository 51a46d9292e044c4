"""The layers: a file imports only from lower ones or its own folder, and nothing imports in a circle.

Both graphs are read from the sources. In Python, imports inside functions count as well; those for type checking do
not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "procession"
CRATES = ROOT / "crates"

# The standard library's own modules, under our name
ALIASES = ["forkserver", "heap", "popen_fork", "popen_forkserver", "popen_spawn_posix", "reduction"]
ALIASES += ["resource_sharer", "resource_tracker", "spawn", "util"]
PYTHON = {  # by file or folder; a new one must be given its layer here
    "_variables": -1,  # what layer 0 itself reads
    "_blame": 0,
    "_chaos": 0,
    "_descent": 0,
    "_native": 0,
    "_owner": 0,
    "_sites": 0,
    "_sizes": 0,
    "_standard": 0,
    "_stat": 0,
    "_typing": 0,
    "_wait": 0,
    "errors": 0,
    "shared_memory": 0,
    **dict.fromkeys(ALIASES, 0),
    "_codec": 1,
    "_cpu": 1,
    "_forking": 1,
    "_main_guard": 1,
    "_interrupts": 1,
    "_outcome": 1,
    "_store": 1,
    "_waits": 0,
    "_waiting": 1,
    "statistics": 1,
    "_bootstrap": 2,
    "_deadlocks": 2,
    "_registry": 2,
    "_pipe": 2,
    "_prompt": 2,
    "progress": 2,
    "_recording": 2,
    "synchronize": 2,
    "_queue_insides": 2,
    "_thread_queues": 2,
    "_threads": 2,
    "_engines": 3,
    "_output": 3,
    "connection": 3,
    "queues": 3,
    "sharedctypes": 3,
    "timeline": 3,
    "_clusters": 4,
    "_disk": 4,
    "checkpoint": 4,
    "gather": 4,
    "process": 4,
    "pool": 5,
    "dummy": 6,
    "executor": 6,
    "managers": 6,
    "mapreduce": 6,
    "_shared_factories": 6,
    "_factories": 7,
    "_far_context": 7,
    "_thread_context": 7,
    "context": 8,
    "installing": 9,
    "joblib": 9,
    "__init__": 10,
    "check": 11,
    "comparison": 11,
    "doctor": 11,
    "monitor": 11,
    "testing": 11,
    "cli": 12,
    "pytest_plugin": 12,
    "__main__": 13,
}
RUST = {  # modules of crates/core
    "error": 0,
    "loom": 0,
    "failpoint": 1,
    "sys": 1,
    "mapping": 2,
    "recorder": 2,
    "segment": 2,
    "source": 2,
    "labels": 3,
    "orders": 1,
    "owner": 3,
    "wait": 4,
    "waits": 4,
    "event": 5,
    "lock": 5,
    "semaphore": 5,
    "barrier": 6,
    "condition": 6,
    "heap": 6,
    "mutex": 6,
    "ring": 6,
    "arena": 7,
    "observe": 7,
}


def unit(path: Path, root: Path) -> str:
    """The file or folder that has a layer."""
    return path.relative_to(root).parts[0].removesuffix(".py").removesuffix(".rs")


def python_imports(path: Path) -> Iterator[str]:
    """Dotted names of ours that a file imports at run time, functions included."""
    package = ["procession", *path.relative_to(PACKAGE).parts[:-1]]
    nodes = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            nodes.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "procession")
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            if name.split(".")[0] == "procession":
                yield from (f"{name}.{alias.name}" for alias in node.names)
        nodes.extend(ast.iter_child_nodes(node))


def module_of(dotted: str) -> str:
    """The module that a dotted name is, or lies in."""
    parts = dotted.split(".")[1:]
    while parts and not (PACKAGE.joinpath(*parts).is_dir() or PACKAGE.joinpath(*parts).with_suffix(".py").exists()):
        if parts == ["_native"]:
            break
        parts.pop()
    return ".".join(parts) or "__init__"


def python_graph() -> dict[str, set[str]]:
    """Module to modules it imports, all as dotted names below the package."""
    graph = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        graph[name] = {module_of(imported) for imported in python_imports(path)} - {name}
    return graph


def rust_graph(crate: Path) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for path in sorted((crate / "src").rglob("*.rs")):
        name = unit(path, crate / "src")
        code = re.sub(r"//.*", "", path.read_text())
        used = set(re.findall(r"\bcrate::(\w+)", code))
        for group in re.findall(r"\bcrate::\{([^;]*)\}", code):
            used |= set(re.findall(r"(?:^|,)\s*(\w+)", re.sub(r"\{[^{}]*\}", "", group)))
        graph.setdefault(name, set()).update(used - {name})
    known = set(graph)
    return {name: used & known for name, used in graph.items()}


def cycle(graph: dict[str, set[str]]) -> list[str] | None:
    """A path that ends where it begins, if there is one."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for follower in sorted(graph.get(name, ())):
            if found := visit(follower, [*path, name]):
                return found
        done.add(name)
        return None

    for start in sorted(graph):
        if found := visit(start, []):
            return found
    return None


def test_python_imports_go_down() -> None:
    graph = python_graph()
    units = {name.split(".")[0] for name in graph}
    assert units <= set(PYTHON), f"no layer given for {units - set(PYTHON)}"
    steps_up = [
        f"{name} imports {used}"
        for name, uses in graph.items()
        for used in uses
        if name.split(".")[0] != used.split(".")[0] and PYTHON[name.split(".")[0]] <= PYTHON[used.split(".")[0]]
    ]
    assert steps_up == []


def test_python_imports_have_no_cycle() -> None:
    assert cycle(python_graph()) is None


def test_rust_uses_go_down() -> None:
    graph = rust_graph(CRATES / "core")
    graph.pop("lib", None)
    assert set(graph) <= set(RUST), f"no layer given for {set(graph) - set(RUST)}"
    steps_up = [f"{name} uses {used}" for name, uses in graph.items() for used in uses if RUST[name] <= RUST[used]]
    assert steps_up == []


@pytest.mark.parametrize("crate", ["core", "python"])
def test_rust_uses_have_no_cycle(crate: str) -> None:
    graph = rust_graph(CRATES / crate)
    graph.pop("lib", None)
    assert cycle(graph) is None


def test_the_core_knows_nothing_of_python() -> None:
    assert "pyo3" not in (CRATES / "core" / "Cargo.toml").read_text()


def test_the_search_for_cycles_finds_one() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None
