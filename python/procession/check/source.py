"""What a line of the user's program does with a value, read from its syntax tree.

A detector that only sees reads and writes cannot tell `x.value += 1` from a loop that waits for `x.value` to change,
nor whether what is written depends on what was read. The program's text can. Where it is missing or cannot be parsed
the answer is the one that leads to silence.
"""

from __future__ import annotations

import ast
import linecache
from functools import lru_cache

from .._sites import split_site

__all__ = ["depends", "is_polling", "subject", "tree_of"]

_LEAVES = (ast.Break, ast.Return, ast.Raise, ast.Continue)


@lru_cache(maxsize=64)
def tree_of(file: str) -> ast.Module | None:
    """The syntax tree of a file; None where it is missing or cannot be parsed. Not to be changed."""
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _at(file: str, line: int) -> tuple[tuple[ast.AST, ...], ...]:
    """The chains of nodes, outermost first, that lead to each of the narrowest statements and lambdas at a line."""
    tree = tree_of(file)
    if tree is None:
        return ()
    found: list[tuple[ast.AST, ...]] = []

    def descend(node: ast.AST, chain: tuple[ast.AST, ...]) -> bool:
        if not _covers(node, line) and not isinstance(node, ast.Module):
            return False
        chain = (*chain, node)
        inner = [descend(child, chain) for child in ast.iter_child_nodes(node) if hasattr(child, "lineno")]
        if isinstance(node, ast.stmt | ast.Lambda) and not any(
            taken and isinstance(child, ast.stmt)
            for taken, child in zip(
                inner, [child for child in ast.iter_child_nodes(node) if hasattr(child, "lineno")], strict=True
            )
        ):
            found.append(chain)
        return True

    descend(tree, ())
    return tuple(found)


def _covers(node: ast.AST, line: int) -> bool:
    return getattr(node, "lineno", 0) <= line <= (getattr(node, "end_lineno", None) or 0)


def _leaves(body: list[ast.stmt]) -> bool:
    return any(isinstance(statement, _LEAVES) for statement in body)


@lru_cache(maxsize=4096)
def is_polling(site: str) -> bool:
    """Whether a read here waits for a change, or may do so for a caller.

    That is the test of a `while`, an `if` in a loop that leaves it, a variable of a loop that such a test looks at; a
    lambda, and what a function returns.
    """
    file, line, _ = split_site(site)
    return any(_is_waiting(chain, line) for chain in _at(file, line))


def _is_waiting(chain: tuple[ast.AST, ...], line: int) -> bool:
    loops: list[ast.While | ast.For] = []
    for node in chain:
        if isinstance(node, ast.Lambda | ast.Return):
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            loops = []
        if isinstance(node, ast.While) and _covers(node.test, line):
            return True
        if isinstance(node, ast.If) and loops and _covers(node.test, line) and _leaves(node.body):
            return True
        if isinstance(node, ast.While | ast.For):
            loops.append(node)
    return bool(loops) and _is_tested(_assigned(chain[-1], line), loops)


def _is_tested(names: set[str], loops: list[ast.While | ast.For]) -> bool:
    """Whether one of these variables decides on the end of a loop."""
    tests = [loop.test for loop in loops if isinstance(loop, ast.While)]
    inner = [node for loop in loops for node in ast.walk(loop) if isinstance(node, ast.If) and _leaves(node.body)]
    tests += [node.test for node in inner]
    return any(isinstance(name, ast.Name) and name.id in names for test in tests for name in ast.walk(test))


def _accesses(node: ast.AST) -> list[ast.expr]:
    """Attributes and items in an expression: what may be a shared value."""
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute | ast.Subscript)]


def _same(one: ast.AST, other: ast.AST) -> bool:
    return ast.unparse(one) == ast.unparse(other)


def _targets(statement: ast.AST) -> list[ast.expr]:
    if isinstance(statement, ast.Assign):
        return [inner for target in statement.targets for inner in _accesses(target)]
    if isinstance(statement, ast.AugAssign | ast.AnnAssign):
        return _accesses(statement.target)
    return []


@lru_cache(maxsize=4096)
def depends(read: str, write: str) -> bool:
    """Whether what is written at `write` is made of what was read at `read`, at once or through variables.

    Or whether it depends on how large that was: `if n > x.value: x.value = n`.
    """
    file, line, function = split_site(read)
    file_w, line_w, function_w = split_site(write)
    if not file or file != file_w or function != function_w:
        return False
    chains = _at(file, line_w)
    if any(_is_largest(chain, line) for chain in chains):
        return True
    if line == line_w:
        return any(_updates(chain[-1]) for chain in chains)
    names = {name for chain in _at(file, line) for name in _assigned(chain[-1], line)}
    return any(_uses(chain[-1], _made_of(names, chain, line, line_w)) for chain in chains)


def _made_of(names: set[str], chain: tuple[ast.AST, ...], first: int, last: int) -> set[str]:
    """These variables, and those that get something made of them on the lines between."""
    function = next((node for node in reversed(chain) if isinstance(node, ast.FunctionDef | ast.Module)), None)
    if not names or function is None:
        return names
    between = [node for node in ast.walk(function) if isinstance(node, ast.Assign) and first < node.lineno < last]
    for statement in sorted(between, key=lambda node: node.lineno):
        targets = {target.id for target in statement.targets if isinstance(target, ast.Name)}
        read = {node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)}
        names = names | targets if read & names else names - targets
    return names


def _is_largest(chain: tuple[ast.AST, ...], line: int) -> bool:
    """Whether a value is written under an `if` on that line which found it larger, or smaller, than what is there."""
    write, tested = chain[-1], next((node for node in reversed(chain) if isinstance(node, ast.If)), None)
    if not isinstance(write, ast.Assign) or tested is None or not _covers(tested.test, line):
        return False
    for test in ast.walk(tested.test):
        if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            sides = [test.left, test.comparators[0]]
            for target in _targets(write):
                for old, new in (sides, sides[::-1]):
                    if _same(old, target) and _same(new, write.value):
                        return True
    return False


def _updates(statement: ast.AST) -> bool:
    if isinstance(statement, ast.AugAssign):
        return bool(_accesses(statement.target))
    if not isinstance(statement, ast.Assign):
        return False
    read = _accesses(statement.value)
    return any(_same(target, other) for target in _targets(statement) for other in read)


def _assigned(statement: ast.AST, line: int) -> set[str]:
    """Plain variables that get something read on this line."""
    if isinstance(statement, ast.Assign) and _accesses(statement.value):
        targets = [target for target in statement.targets if isinstance(target, ast.Name)]
        return {target.id for target in targets}
    named = [node for node in ast.walk(statement) if isinstance(node, ast.NamedExpr) and _covers(node, line)]
    return {node.target.id for node in named if _accesses(node.value)}


def _uses(statement: ast.AST, names: set[str]) -> bool:
    if not isinstance(statement, ast.Assign | ast.AugAssign) or not names or not _targets(statement):
        return False
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(statement.value))


def _root(node: ast.expr) -> ast.expr:
    """The shared object in an access: what stands before `.value`, an index, a field, `get_obj()`."""
    inner: ast.expr = node.value if isinstance(node, ast.Attribute | ast.Subscript) else node
    while isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "get_obj":
        inner = inner.func.value
    return inner


@lru_cache(maxsize=4096)
def subject(site: str, kind: str) -> tuple[str, str]:
    """The user's own expression for what is accessed at this place, and the statement there; empty when not plain.

    `kind` is "write" or "read".
    """
    file, line, _ = split_site(site)
    for chain in reversed(_at(file, line)):
        statement, scope = chain[-1], chain[-1]
        if isinstance(statement, ast.If | ast.While | ast.For | ast.With):
            statement_text = ""
            scope = getattr(statement, "test", getattr(statement, "iter", statement))
        else:
            statement_text = ast.unparse(statement)
        candidates = _targets(statement) if kind == "write" else _loaded(scope)
        candidates = candidates or _loaded(scope)
        valued = [node for node in candidates if isinstance(node, ast.Attribute) and node.attr in ("value", "raw")]
        for node in valued or candidates:
            if not isinstance(getattr(node, "value", None), ast.Constant):
                return ast.unparse(_root(node)), statement_text
    return "", ""


def _loaded(scope: ast.AST) -> list[ast.expr]:
    called = {id(node.func) for node in ast.walk(scope) if isinstance(node, ast.Call)}
    return [node for node in _accesses(scope) if id(node) not in called]
