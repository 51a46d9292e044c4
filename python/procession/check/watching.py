"""What a process of a checked run does besides its work: it keeps a journal of what the analyses need.

- Who was started where, with which function (`started`), and what of its arguments only threads can share (`shared`).
- What the user's globals were when a child began and when it ended, or a task of a worker (`changed`); and the same of
  its parent (`final`), for a child's write is lost only if the parent still has the old value.
- Locks held at the end (`held`), and threading's locks that were taken when a child was forked (`forked`).
- Children that ended long ago and were never asked for (`zombies`); large objects that are sent (see `sending`).

It puts functions of its own around a few of ours, in the program by `beginning`, in children by `_bootstrap` (or
because they are forked). Without check mode nothing of this is loaded and nothing is wrapped.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
import weakref

from .. import context, process
from .._stat import state_of
from ..executor import worker as executor_worker
from ..pool import functions, worker
from . import holding, hooks, sending
from .hooks.replacing import replace
from .journal import is_users, stack, tell
from .snapshots import attributes, describe, modules, snapshot

TYPE_CHECKING = False  # `typing` is slow to import, and every process of a checked program imports this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .snapshots import Snapshot

__all__ = ["tell_end", "watch"]

SHARE_OF_TIME = 0.05  # that a worker may spend on comparing after its tasks
ALWAYS = 3  # first tasks of a worker after which is always compared
_SHARED = ("queue", "threading", "_thread", "_queue", "_threading_local")  # modules whose objects only threads share


class _State:
    """What this process remembers; a forked child begins anew."""

    def __init__(self) -> None:
        self.baseline: Snapshot = {}
        self.told: dict[tuple[str, str], int] = {}
        self.tasks = 0
        self.spent = 0.0  # seconds
        self.due = 0.0  # when the next comparison after a task is
        self.since = time.monotonic()
        self.functions: set[str] = set()
        self.children: list[weakref.ref[Any]] = []
        self.own: Snapshot | None = None  # when the first child was started
        self.texts: dict[tuple[str, str], str] = {}


_state = _State()
_is_watching = False


def watch() -> None:
    """Watch this process from now on; if it is watched, begin anew, for what is told goes to another place."""
    global _is_watching
    if _is_watching:
        _forget()
        return
    _is_watching = True
    cls: Any = process.ProcessWithResult
    replace(cls, start=_around_start(cls.start), _bootstrap=_around_bootstrap(cls._bootstrap))
    for_executor: Any = executor_worker
    worker.main.__defaults__, for_executor.load = (_load, None), _load
    hooks.watch()  # first: the others keep the methods that they find
    holding.watch()
    sending.watch()
    os.register_at_fork(after_in_child=_forget)
    import atexit

    atexit.register(tell_end)  # before the children are waited for: what is registered later comes first


def _safely(function: Callable[..., Any], *arguments: Any) -> Any:
    """Look at what the program has without doing it harm: what goes wrong is told, and None."""
    try:
        return function(*arguments)
    except Exception:
        tell("failed", text=traceback.format_exc())
        return None


def _forget() -> None:
    global _state
    _state = _State()


# In the parent


def _around_start(start: Callable[[Any], None]) -> Callable[[Any], None]:
    def watched_start(self: Any) -> None:
        facts = _safely(_before_start, self)
        start(self)
        if facts is not None:
            tell("started", child=self.pid, **facts)
            _state.children.append(weakref.ref(self))

    return watched_start


def _before_start(started: Any) -> dict[str, Any]:
    facts = _about(started)
    if _state.own is None:
        _state.own = snapshot()
        tell("base", globals=_named(_state.own), modules=_module_names())
    _tell_shared(started, facts)
    locked = holding.locked_now() if facts["method"] == "fork" else []
    return {**facts, "locked": locked, "threads": holding.other_threads() if locked else []}


def _about(started: Any) -> dict[str, Any]:
    """The start: method, target as file, qualified name and line, stack."""
    if type(started).run is process.ProcessWithResult.run or type(started).run is process.BaseProcess.run:
        target = getattr(started, "_target", None)
    else:
        target = type(started).run
    method = getattr(started, "_start_method", None) or context.default.get_start_method()
    return {
        "method": method,
        "target": _function(target),
        "name": started.name,
        "daemon": started.daemon,
        "stack": stack(),
    }


def _function(function: Any) -> list[Any] | None:
    """Where a function is written: file, qualified name, first line."""
    for _ in range(8):
        inner = getattr(function, "func", None) or getattr(function, "__func__", None)
        inner = inner or getattr(function, "__wrapped__", None)
        if inner is None:
            break
        given = getattr(function, "args", ())
        code = getattr(inner, "__code__", None)
        is_inner = code is not None and not is_users(code.co_filename)  # as `concurrent.futures` has for chunks
        function = given[0] if is_inner and given and callable(given[0]) else inner
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(vars(type(function)).get("__call__"), "__code__", None)
    if code is None:
        return None
    file = code.co_filename
    return [file if file.startswith("<") else os.path.abspath(file), code.co_qualname, code.co_firstlineno]


def _tell_shared(started: Any, facts: dict[str, Any]) -> None:
    """Arguments that only threads of one process can share: each side would have its own."""
    given = [*enumerate(getattr(started, "_args", ())), *getattr(started, "_kwargs", {}).items()]
    if facts["method"] == "thread":
        return
    for name, value in given:
        inner = value if isinstance(value, (list, tuple)) else value.values() if isinstance(value, dict) else ()
        for part in (value, *list(inner)[:16]):
            kind = type(holding.plain(part))
            kind = next(cls for cls in kind.__mro__ if not cls.__module__.startswith(f"{__package__}."))
            if kind.__module__ in _SHARED and kind.__name__ not in ("Thread", "_MainThread", "local"):
                tell("shared", argument=name, kind=kind.__name__, **facts)
                break


def _named(taken: Snapshot) -> list[list[Any]]:
    return [[file, name, whole] for (file, name), (whole, _) in taken.items()]


def _module_names() -> dict[str, str]:
    named = ((file, getattr(module, "__spec__", None), module.__name__) for file, module in modules().items())
    return {file: getattr(spec, "name", name) for file, spec, name in named}  # of `-m package`, its real name


def tell_end() -> None:
    """This process's code has ended, or a test in it; its children are still to be waited for."""
    _safely(_tell_end)


def _tell_end() -> None:
    if _state.own is None:
        return
    tell("final", globals=_named(snapshot()), modules=_module_names())
    zombies = []
    for child in _state.children:
        popen = getattr(child(), "_popen", None)
        if popen is not None and popen.returncode is None and state_of(popen.pid) == "Z":
            zombies.append(popen.pid)
    if zombies:
        tell("zombies", children=zombies)


# In the child


def _around_bootstrap(bootstrap: Callable[..., int]) -> Callable[..., int]:
    def watched_bootstrap(self: Any, parent_sentinel: int | None = None) -> int:
        run, target = self.run, _safely(_function, getattr(self, "_target", None))
        standard = sys.modules.get("concurrent.futures.process")
        if standard is not None and getattr(self, "_target", None) is standard._process_worker:
            _watch_call_items(standard)

        def watched_run() -> Any:
            _safely(_begin)
            try:
                return run()
            finally:
                _safely(_compare, target)
                holding.tell_held()
                tell_end()
                tell("ended")

        self.__dict__["run"] = watched_run
        return bootstrap(self, parent_sentinel)

    return watched_bootstrap


def _begin() -> None:
    _state.baseline = snapshot()
    _state.texts = {key: describe(getattr(module, key[1], None)) for key, module in _globals()}


def _globals() -> list[tuple[tuple[str, str], Any]]:
    loaded = modules()
    return [((file, name), loaded[file]) for file, name in _state.baseline if file in loaded]


def _watch_call_items(module: Any) -> None:
    """In a worker of the standard executor: what it is sent are calls, with their function."""

    def set_state(self: Any, state: dict[str, Any]) -> None:
        self.__dict__.update(state, fn=_task(state["fn"]))

    module._CallItem.__setstate__ = set_state


def _load(arena: Any, offset: int, serial: int) -> Any:
    return _task(functions.load(arena, offset, serial))


def _task(function: Any) -> Any:
    """A function as a worker calls it. What its initializer did is the worker's own business: nothing of it is lost."""
    where = _safely(_function, function)
    if _state.tasks == 0:
        _safely(_begin)

    is_told, monotonic = False, time.monotonic
    calls_its_argument = where is not None and not is_users(where[0])

    def watched_task(*args: Any, **kwargs: Any) -> Any:
        nonlocal is_told
        try:
            return function(*args, **kwargs)
        finally:
            if not is_told or calls_its_argument or monotonic() >= _state.due:
                is_told = True
                _safely(_after_task, where, args)

    return watched_task


def _after_task(where: list[Any] | None, args: tuple[Any, ...]) -> None:
    if where is not None and not is_users(where[0]):  # it calls what it is given
        where = _function(args[0]) if args else None
    _state.tasks += 1
    key = repr(where)
    if key not in _state.functions:
        _state.functions.add(key)
        tell("task", function=where)
    now = time.monotonic()
    if _state.tasks <= ALWAYS or _state.spent < SHARE_OF_TIME * (now - _state.since):
        _compare(where)
        _state.spent += time.monotonic() - now
        if _state.tasks >= ALWAYS:
            _state.due = _state.since + _state.spent / SHARE_OF_TIME


def _compare(where: list[Any] | None) -> None:
    """Tell of globals that are not what they were."""
    loaded = modules()
    known_files = {file for file, _ in _state.baseline}
    for key, (whole, parts) in snapshot().items():
        file, name = key
        before, parts_before = _state.baseline.get(key, (None, {}))
        if whole == before or file not in known_files or (before is None and _is_import(file, name, loaded)):
            continue
        if _state.told.get(key) == whole:
            continue
        first = key not in _state.told
        _state.told[key] = whole
        value = getattr(loaded[file], name, None)
        now = attributes(value) if parts else {}
        changed = {part: describe(now.get(part)) for part, digest in parts.items() if parts_before.get(part) != digest}
        texts = {"before": _state.texts.get(key, ""), "after": describe(value)}
        if first or _state.tasks <= ALWAYS:
            tell("changed", file=file, name=name, attributes=changed, digest=whole, target=where, **texts)


def _is_import(file: str, name: str, loaded: dict[str, Any]) -> bool:
    return isinstance(getattr(loaded[file], name, None), (type, type(os)))
