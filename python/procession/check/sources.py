"""The user's program as it is written: which function calls which, and where it reads and writes globals.

Names are resolved as far as that is certain: functions and globals of the same module, what is imported from another
one of the program, attributes of such modules, methods by `self`. Nothing is run. A call through a variable is not
followed; a function that is merely named, passed to somebody who may call it, counts as called.

Functions are known by file and qualified name, as code objects have it: `("/home/me/bank.py", "Account.deposit")`. The
module's own code is `"<module>"`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from .source import tree_of

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Where = tuple[str, str]  # a function: file, qualified name

__all__ = ["MODULE", "Function", "Program", "Use"]

MODULE = "<module>"
MOST_IMPORTS = 6  # from module to module, until a name is found

# Methods that change what they are called on, of the standard containers and queues
_CHANGING = {
    *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "appendleft", "popleft"),
    *("add", "update", "discard", "setdefault", "popitem", "put", "put_nowait", "subtract", "fill"),
}

_HANDLERS = {"signal", "add_signal_handler"}  # methods and functions that take a handler of signals


@dataclass(frozen=True)
class Use:
    """A statement that reads or writes a global."""

    file: str
    """Of the module whose global it is."""
    name: str
    attribute: str
    """The attribute of the global that is meant; "" for the global as a whole. Of `self` in a method: that of any
    object of the class, the name being "self"."""
    line: int
    how: str
    """"read"; "bind", which needs no old value; "change": an item, an element, `+=`, an attribute."""
    within: Where = ("", "")


@dataclass
class Function:
    """A function, or a module's own code."""

    where: Where
    node: ast.AST
    uses: list[Use] = field(default_factory=list)
    calls: list[tuple[int, Where]] = field(default_factory=list)
    """Line and function, of calls and mentions."""
    method_calls: list[tuple[int, str]] = field(default_factory=list)
    """Line and name, of calls on objects that are not known."""


class _Module:
    """What is known of one source file."""

    def __init__(self, file: str, name: str) -> None:
        self.file: str = file
        self.name: str = name
        self.tree: ast.Module = tree_of(file) or ast.Module([], [])
        self.functions: dict[str, ast.AST] = {MODULE: self.tree}
        self.classes: dict[str, ast.ClassDef] = {}
        self.globals: set[str] = set()
        self.stars: list[str] = []  # modules of which everything is imported
        self.imports: dict[str, tuple[str, str]] = {}  # by name here: module, name there ("": the module itself)
        self._index(self.tree, "")
        for node in _own_nodes(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.globals.add(node.id)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Global):
                self.globals.update(node.names)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports[alias.asname or alias.name.split(".")[0]] = (
                        alias.name if alias.asname else alias.name.split(".")[0],
                        "",
                    )
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(self.name, self.file, node)
                for alias in node.names:
                    if alias.name == "*":
                        self.stars.append(base)
                    else:
                        self.imports[alias.asname or alias.name] = (base, alias.name)

    def _index(self, node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions[prefix + child.name] = child
                self._index(child, f"{prefix}{child.name}.<locals>.")
            elif isinstance(child, ast.ClassDef):
                self.classes[prefix + child.name] = child
                self._index(child, f"{prefix}{child.name}.")
            else:
                self._index(child, prefix)


def _absolute(name: str, file: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")
    kept = parts[: len(parts) - node.level + (1 if file.endswith("__init__.py") else 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A function's nodes without those of functions and classes defined in it; lambdas belong to it."""
    waiting = list(ast.iter_child_nodes(node))
    while waiting:
        current = waiting.pop()
        yield current
        if isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef)):
            waiting += [*current.decorator_list, *current.args.defaults]
        elif isinstance(current, ast.ClassDef):
            waiting += [child for child in current.body if not isinstance(child, ast.FunctionDef)]
        else:
            waiting += ast.iter_child_nodes(current)


class Program:
    """The files of a program, read when first asked for."""

    def __init__(self, files: dict[str, str]) -> None:
        """`files`: the names of modules, by path."""
        self._names = files
        self._by_module = {name: file for file, name in files.items() if name not in ("__main__", "__mp_main__")}
        self._modules: dict[str, _Module] = {}
        self._functions: dict[Where, Function | None] = {}

    def module(self, file: str) -> _Module:
        """A file of the program; one that cannot be read is empty."""
        if file not in self._modules:
            self._modules[file] = _Module(file, self._names.get(file, ""))
        return self._modules[file]

    def function(self, where: Where) -> Function | None:
        """What is known of a function; None if it is not one of the program's."""
        if where not in self._functions:
            module = self.module(where[0])
            node = module.functions.get(where[1])
            self._functions[where] = None if node is None else _Reader(self, module, where, node).read()
        return self._functions[where]

    def package(self, file: str) -> str:
        """What a file imports its processes from: "procession", or "multiprocessing"."""
        imports = self.module(file).imports
        return "procession" if imports.get("procession") == ("procession", "") else "multiprocessing"

    def reachable(self, begin: Iterable[Where], *, by_name: bool) -> set[Where]:
        """These functions and all that they call. `by_name`: of unknown objects too, any method of that name."""
        found: set[Where] = set()
        waiting = list(begin)
        while waiting:
            where = waiting.pop()
            function = None if where in found else self.function(where)
            if function is None:
                continue
            found.add(where)
            waiting += [called for _, called in function.calls]
            for _, name in function.method_calls:
                waiting += self.methods(name) if by_name or len(self.methods(name)) == 1 else []
        return found

    def methods(self, name: str) -> list[Where]:
        """Every method of that name."""
        return [
            (file, f"{cls}.{name}")
            for file in self._names
            for cls in self.module(file).classes
            if f"{cls}.{name}" in self.module(file).functions
        ]

    def find(self, file: str, name: str, depth: int = 0) -> Where | str | None:
        """What a global name is: a function, the file of a module, or None. A class is its constructor."""
        module = self.module(file)
        if name in module.functions:
            return file, name
        if name in module.classes:
            return file, f"{name}.__init__"
        source, original = module.imports.get(name, ("", ""))
        if source and not original:
            return self._by_module.get(source)
        if source and (imported := self._by_module.get(f"{source}.{original}")) is not None:
            return imported
        for other, there in self._elsewhere(module, name, depth):
            if (found := self.find(other, there, depth + 1)) is not None:
                return found
        return None

    def home(self, file: str, name: str, depth: int = 0) -> tuple[str, str] | None:
        """The module and name of a global variable that is read by this name in this file."""
        module = self.module(file)
        if name not in module.imports and (name in module.globals or name in module.classes):
            return file, name
        for other, there in self._elsewhere(module, name, depth):
            if (found := self.home(other, there, depth + 1)) is not None:
                return found
        return None

    def _elsewhere(self, module: _Module, name: str, depth: int) -> list[tuple[str, str]]:
        """The files that a name may be imported from, with its name there. Imports may go round in a circle."""
        if depth >= MOST_IMPORTS:
            return []
        source, original = module.imports.get(name, ("", ""))
        sources = [(source, original)] if original else [] if source else [(star, name) for star in module.stars]
        found = [(self._by_module.get(source), there) for source, there in sources]
        return [(file, there) for file, there in found if file is not None and file != module.file]


class _Reader:
    """Reads one function."""

    def __init__(self, program: Program, module: _Module, where: Where, node: ast.AST) -> None:
        self.program, self.module, self.node = program, module, node
        self.function = Function(where, node)
        self.locals = self._local_names()
        self.cls = where[1].rpartition(".")[0]
        decorators = getattr(node, "decorator_list", ())
        self.is_classmethod = any(isinstance(one, ast.Name) and one.id == "classmethod" for one in decorators)
        self.consumed: set[int] = set()  # names that were dealt with as part of something larger

    def _local_names(self) -> set[str]:
        if self.function.where[1] == MODULE:
            return set()
        names: set[str] = set()
        declared: set[str] = set()
        for node in [self.node, *_own_nodes(self.node)]:
            if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
                names.add(node.id)
            elif isinstance(node, ast.Global):
                declared.update(node.names)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                arguments = node.args
                every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
                names.update(x.arg for x in [*every, arguments.vararg, arguments.kwarg] if x is not None)
            elif isinstance(node, ast.ExceptHandler) and node.name:
                names.add(node.name)
        outer = self.function.where[1].rpartition(".<locals>.")[0]
        if outer in self.module.functions:
            names |= _Reader(self.program, self.module, (self.module.file, outer), self.module.functions[outer]).locals
        return names - declared

    def read(self) -> Function:
        for node in _own_nodes(self.node):
            if isinstance(node, ast.AugAssign):
                self._target(node.target, "change")
            elif isinstance(node, (ast.Assign, ast.Delete)):
                for target in node.targets:
                    self._target(target, "bind")
            elif isinstance(node, (ast.AnnAssign, ast.For, ast.AsyncFor, ast.NamedExpr)):
                if not isinstance(node, ast.AnnAssign) or node.value is not None:
                    self._target(node.target, "bind")
            elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                self._target(node.optional_vars, "bind")
            elif isinstance(node, ast.Call):
                self._call(node)
        for node in _own_nodes(self.node):
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
                self._load(node)
        return self.function

    def _use(self, variable: tuple[str, str], attribute: str, line: int, how: str) -> None:
        self.function.uses.append(Use(*variable, attribute, line, how, self.function.where))

    def _variable(self, node: ast.expr) -> tuple[tuple[str, str], str] | None:
        """The global that an expression is, or an attribute of: with the attribute's name."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        if node.id == "cls" and self.is_classmethod and self.cls in self.module.classes and attributes:
            return (self.module.file, self.cls), attributes[0]
        if node.id in ("self", "cls") and self.cls and attributes:
            return (self.module.file, "self"), attributes[0]
        if node.id in self.locals:
            return None
        found = self.program.find(self.module.file, node.id)
        if isinstance(found, str) and attributes:  # a module: its attribute is the global
            return (found, attributes[0]), attributes[1] if len(attributes) > 1 else ""
        home = self.program.home(self.module.file, node.id)
        return None if home is None else (home, attributes[0] if attributes else "")

    def _target(self, node: ast.expr, how: str) -> None:
        if isinstance(node, (ast.Tuple, ast.List)):
            for part in node.elts:
                self._target(part, how)
            return
        if isinstance(node, ast.Starred):
            node = node.value
        inner = node
        while isinstance(inner, ast.Subscript):
            inner, how = inner.value, "change"
        found = self._variable(inner)
        if found is None:
            return
        plain = isinstance(inner, ast.Name) or not found[1]
        self._use(found[0], found[1], node.lineno, how if plain else "change")
        self._consume(inner)

    def _consume(self, node: ast.AST) -> None:
        self.consumed.update(id(inner) for inner in ast.walk(node))

    def _call(self, node: ast.Call) -> None:
        target = node.func
        if isinstance(target, ast.Name):
            self._mention(target)
        elif isinstance(target, ast.Attribute):
            if target.attr in _HANDLERS:  # whoever sends a signal, and to whom, is not in the text
                for argument in node.args:
                    self._consume(argument)
            owner = target.value
            while isinstance(owner, ast.Subscript):
                owner = owner.value
            found = self._variable(owner)
            if isinstance(owner, ast.Name) and self._class_method(owner, target):
                return
            if target.attr in _CHANGING and found is not None:
                self._use(found[0], found[1], node.lineno, "change")
                self._consume(owner)
                self.consumed.add(id(target))
            elif isinstance(owner, ast.Name) and owner.id in ("self", "cls") and self.cls:
                self._method(node.lineno, target.attr)
            elif isinstance(owner, ast.Name) and self.program.find(self.module.file, owner.id) is not None:
                self._mention(target)
            else:
                self.function.method_calls.append((node.lineno, target.attr))

    def _class_method(self, owner: ast.Name, target: ast.Attribute) -> bool:
        """Whether a method of a class is called by the class's name; then it is noted."""
        found = None if owner.id in self.locals else self.program.find(self.module.file, owner.id)
        if not isinstance(found, tuple) or not found[1].endswith(".__init__"):
            return False
        method = f"{found[1].removesuffix('__init__')}{target.attr}"
        if method not in self.program.module(found[0]).functions:
            return False
        self.function.calls.append((target.lineno, (found[0], method)))
        self._consume(owner)
        self.consumed.add(id(target))
        return True

    def _method(self, line: int, name: str) -> None:
        own = self.module.file, f"{self.cls}.{name}"
        if own[1] in self.module.functions:
            self.function.calls.append((line, own))
        else:
            self.function.method_calls.append((line, name))

    def _mention(self, node: ast.expr) -> None:
        """A function that is called or passed on."""
        if isinstance(node, ast.Name):
            prefix = "" if self.function.where[1] == MODULE else f"{self.function.where[1]}.<locals>."
            if prefix and prefix + node.id in self.module.functions:
                self.function.calls.append((node.lineno, (self.module.file, prefix + node.id)))
                return
            found = None if node.id in self.locals else self.program.find(self.module.file, node.id)
        else:
            assert isinstance(node, ast.Attribute)
            base = node.value
            home = self.program.find(self.module.file, base.id) if isinstance(base, ast.Name) else None
            found = self.program.find(home, node.attr) if isinstance(home, str) else None
            if isinstance(home, tuple) and home[1].endswith(".__init__"):
                found = home[0], f"{home[1].removesuffix('__init__')}{node.attr}"
        if isinstance(found, tuple):
            self.function.calls.append((node.lineno, found))

    def _load(self, node: ast.Name | ast.Attribute) -> None:
        if id(node) in self.consumed:
            return
        self._mention(node)
        changes = isinstance(node, ast.Attribute) and node.attr in _CHANGING  # handed on, to be called
        found = self._variable(node.value if changes and isinstance(node, ast.Attribute) else node)
        if found is not None:
            self._use(found[0], found[1], node.lineno, "change" if changes else "read")
            self._consume(node)
