"""Put this package in the place of `multiprocessing` for a program that does not know of it, and take it back.

The standard library's modules stay the same objects; the names in them that make something are replaced. So whoever
reads `multiprocessing.Queue`, `multiprocessing.pool.Pool` or `multiprocessing.get_context("spawn")` after `install`
gets ours, in libraries too, and what was taken by `from multiprocessing import Pool` before it stays what it was.
(Swapping the modules in `sys.modules` was considered: imports inside the standard library, and pickles that name it, go
wrong.)

Not replaced are the classes that others derive from and fill with code of their own: the queues (loky, joblib and
PyTorch do), `Connection`, the results of a pool, `BaseContext`; and the exceptions, from which ours derive. The
standard code of such subclasses runs on our locks and pipes.

Of modules that are not imported yet the names are replaced when they are, so installing loads next to nothing. Children
of every start method are installed before their main module runs.
"""

from __future__ import annotations

import multiprocessing
import sys
from types import FunctionType

from . import _standard, context

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["install", "uninstall"]

# Fork-safe, re-entrant and held by no import while it runs: the interpreter takes this lock itself around a fork.
_lock, _unlock = sys.modules["_imp"].acquire_lock, sys.modules["_imp"].release_lock

# By module: the names replaced by those of our module of the same name
_NAMES = {
    "connection": ("Pipe", "wait"),
    "pool": (),  # as `pool.patched` says
    "sharedctypes": ("Array", "RawArray", "RawValue", "Value", "copy", "synchronized"),
    "synchronize": ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"),
}
_OF_CONTEXT = {
    "DefaultContext": context.DefaultContext,
    "ForkContext": context.ForkContext,
    "ForkProcess": context.ForkProcess,
    "ForkServerContext": context.ForkServerContext,
    "ForkServerProcess": context.ForkServerProcess,
    "Process": context.Process,
    "SpawnContext": context.SpawnContext,
    "SpawnProcess": context.SpawnProcess,
    "_concrete_contexts": context.concrete_contexts,
    "_default_context": context.default,
}

_early: set[str] = set()  # parts that were complete when `install` was called
# Functions of `multiprocessing.process`, which the context has too, for its threads
_OF_PROCESS = ("active_children", "current_process")

_complete: set[str] = set()  # modules whose code has run since we listen; `sys.modules` has them before it has
_method_before: list[Any] = []  # the context that was chosen when `install` chose another


def install(context: Any = None) -> None:
    """Let `multiprocessing`, as everyone in this process and its future children sees it, stand on this package.

    `context` names the start method to use from now on, "thread" included, until the program chooses one itself (as
    it may, once, without `force`); None leaves what was chosen, or the interpreter's own. May be called again, by any
    thread: what is installed stays so.

    Raises: ValueError for an unknown start method, before anything is changed.
    """
    chosen = _chosen(context)
    _lock()
    try:
        was_installed = _standard.installer is not None
        _standard.installer = __name__
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        _replace("multiprocessing.context", multiprocessing.context, _OF_CONTEXT)
        _replace("multiprocessing", multiprocessing, _of_package())
        if chosen is not None:
            _choose(chosen)
    finally:
        _unlock()
    for part in () if was_installed else (*_NAMES, "managers"):
        if _is_complete(f"multiprocessing.{part}"):
            _early.add(part)
            _loaded(f"multiprocessing.{part}")


def uninstall() -> None:
    """Give every name of the standard library back, and the start method that `install` changed, if it still holds.

    Objects made meanwhile stay what they are and go on working. Names that someone else has replaced since are left
    alone. Does nothing if nothing is installed.
    """
    _lock()
    try:
        _standard.installer = None
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        _put_back_copies()
        for place in list(_standard.replaced):
            _put_back(place)
        while _method_before:
            before = _method_before.pop()
            if _default._presumed is not None:
                _default._actual_context, _default._presumed = before, None
    finally:
        _unlock()


_default = context.default


def _chosen(wanted: Any) -> Any:
    """The context meant by a name or by a context, of ours or of the standard library."""
    if wanted is None:
        return None
    return _default.get_context(wanted if isinstance(wanted, str) else wanted.get_start_method())


def _choose(chosen: Any) -> None:
    if not _method_before:
        _method_before.append(_default._actual_context)
    _default._actual_context = _default._presumed = chosen


# Replacing


def _replace(path: str, owner: Any, ours: dict[str, Any]) -> None:
    """Replace attributes of a module or class of the standard library, unless they are."""
    for name, value in ours.items():
        standard = vars(owner).get(name)
        if standard is None or standard == value or (path, name) in _standard.replaced:
            continue
        _standard.replaced[path, name] = owner, standard, value
        setattr(owner, name, value)
        if isinstance(standard, type):
            _keep_picklable(path, standard)


def _put_back(place: tuple[str, str]) -> None:
    owner, standard, ours = _standard.replaced.pop(place)
    if vars(owner).get(place[1]) is ours:
        setattr(owner, place[1], standard)
    if isinstance(standard, type):
        _extra_reducers.pop(standard, None)


def _put_back_copies() -> None:
    """Give back what modules of the standard library that were imported meanwhile have copied from the package."""
    standard_of = {id(ours): standard for _, standard, ours in _standard.replaced.values()}
    for module in [module for name, module in list(sys.modules.items()) if name.startswith("multiprocessing.")]:
        for name, value in list(vars(module).items()):
            if id(value) in standard_of and (module.__name__, name) not in _standard.replaced:
                setattr(module, name, standard_of[id(value)])


def _of_package() -> dict[str, Any]:
    """The names of `multiprocessing` itself that belong to its default context."""
    ours: dict[str, Any] = {"Process": context.Process}
    for name in multiprocessing.__all__:
        standard = vars(multiprocessing).get(name)
        if name in _OF_PROCESS or getattr(standard, "__self__", None) is _standard.default_context:
            ours[name] = getattr(_default, name)
    return ours


def _of_part(part: str) -> dict[str, Any]:
    """The names of one module that are replaced by those of ours."""
    ours = sys.modules[f"{__package__}.{part}"]
    if part == "pool":
        return dict(ours.patched())
    return {name: getattr(ours, name) for name in _NAMES[part] if hasattr(ours, name)}


# Pickling what was made before: pickle finds a class by its name, and there it now finds ours


_reduction: Any = multiprocessing.reducer
_extra_reducers: dict[type, Any] = _reduction.ForkingPickler._extra_reducers


def _keep_picklable(module_name: str, standard: type) -> None:
    if standard not in _extra_reducers:
        _extra_reducers[standard] = _Reducer(module_name)


class _Reducer:
    """Reduces an object of a replaced class as that class does, with another way to find what is replaced."""

    def __init__(self, module_name: str) -> None:
        self.module_name = module_name

    def __call__(self, obj: Any) -> Any:
        function, arguments, *rest = obj.__reduce_ex__(4)
        cls = type(obj)
        if arguments and arguments[0] is cls:  # `copyreg.__newobj__`: how almost everything is reduced
            return _rebuild, (self.module_name, cls.__name__, function, *arguments[1:]), *rest
        return function, arguments, *rest


def _rebuild(module_name: str, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    return function(_standard.original(module_name, name), *arguments)


# Modules that are imported later


class _Finder:
    """Sees the modules whose names are to be replaced come, and leaves finding and loading them to the others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _awaited:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if finder is self or find is None else find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Lets the real loader do everything, and tells of the end."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        _complete.add(module.__name__)
        _forget(module.__name__)
        _loaded(module.__name__)


_finder: Any = _Finder()
_awaited = {f"{package}.{part}" for package in ("multiprocessing", __package__) for part in _NAMES}
_awaited.add("multiprocessing.managers")


def _is_complete(name: str) -> bool:
    """Whether a module's code has run."""
    module = sys.modules.get(name)
    return module is not None and (name in _complete or not getattr(module.__spec__, "_initializing", False))


def _forget(name: str) -> None:
    """A module that has just run has its own names, whatever was replaced in it before: this may be a reload."""
    _lock()
    try:
        for place in [place for place in _standard.replaced if f"{place[0]}.".startswith(f"{name}.")]:
            del _standard.replaced[place]
    finally:
        _unlock()


def _loaded(name: str) -> None:
    """Replace the names of a module when both it and ours are complete; loading the standard one loads ours.

    Two threads may each be loading one of the two: then both come here when they are done, and the later one acts. The
    same for ours being loaded first, which loads the standard one on its way.
    """
    part = name.rpartition(".")[2]
    standard, ours = f"multiprocessing.{part}", f"{__package__}.{part}"
    if part != "managers":
        if name == standard:
            __import__(ours)
        if not (_is_complete(standard) and _is_complete(ours)):
            return
    _lock()
    try:
        if _standard.installer is not None:
            _replace_part(part)
    finally:
        _unlock()


def _replace_part(part: str) -> None:
    module = sys.modules[f"multiprocessing.{part}"]
    path = module.__name__
    if part == "managers":
        _replace(path, module, {"get_context": _default.get_context})
        registry = module.SyncManager._registry
        ours = {**registry, "Pool": (_default.Pool, *registry["Pool"][1:])}
        _replace(f"{path}.SyncManager", module.SyncManager, {"_registry": ours})
        return
    if part == "pool" and part in _early:
        _detach(module)
    _replace(path, module, _of_part(part))


def _detach(module: ModuleType) -> None:
    """Let the classes of a module go on seeing each other by the names that will be ours: someone may hold them.

    The standard pool is the one that needs it. Elsewhere either kind can stand for the other.
    """
    globals_before = dict(vars(module))
    for cls in [thing for thing in globals_before.values() if isinstance(thing, type)]:
        if cls.__module__ == module.__name__:
            detached = {name: _with_globals(value, globals_before) for name, value in vars(cls).items()}
            _replace(f"{module.__name__}.{cls.__name__}", cls, {k: v for k, v in detached.items() if v is not None})


def _with_globals(method: Any, namespace: dict[str, Any]) -> Any:
    """The same function or static or class method over other globals; None for what is neither."""
    if isinstance(method, staticmethod | classmethod):
        inner = _with_globals(method.__func__, namespace)
        return None if inner is None else type(method)(inner)
    if not isinstance(method, FunctionType):
        return None
    copy = FunctionType(method.__code__, namespace, method.__name__, method.__defaults__, method.__closure__)
    copy.__kwdefaults__ = method.__kwdefaults__
    copy.__qualname__ = method.__qualname__
    copy.__doc__ = method.__doc__
    return copy
