"""How functions and values travel to a cluster's workers and back: as bytes that are pickled here, for all engines.

So what cannot be shipped is an error that names the culprit, before anything was sent, whatever the engine; and what
comes back does not depend on how an engine treats exceptions.

Somebody else's workers lack what is this program's own. The main module's functions and classes therefore travel by
value, with cloudpickle; those of other modules by name where the workers have the very same file, which they are asked
once for each module, and else by value too. (What is installed, in the standard library or in site-packages, is
expected to be installed there as well.) Workers that have the program's modules (`Cluster.has_main`) are sent names.

By value is not quite cloudpickle's way, so that programs mean the same as with workers that were forked or spawned:

* All functions of a module that one `Shipping` sent have their globals in common in each worker, and what a name there
  means first it goes on to mean: what an initializer puts into a global the tasks find. (cloudpickle gives each
  function globals of its own.)
* A class that came by value goes back by its number, so its sender gets instances of its own class.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import secrets
import sys
import sysconfig
import types
import weakref
from importlib import import_module
from multiprocessing import reduction

from ..errors import PicklingError

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

    from . import Cluster

__all__ = ["Shipping", "dumps_back", "loads"]

PROTOCOL = 5
ASKING_S = 10.0  # how long a worker may take to say whether it has a module; one that says nothing has not
CODE = (type, types.FunctionType, types.ModuleType)  # what may go by value
MAINS = ("__main__", "__mp_main__")  # the second in a spawned child

loads = pickle.loads


class Shipping:
    """Packs for one cluster, and remembers which modules its workers have."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.token: str = secrets.token_hex(8)
        self._has: dict[str, bool] = {}  # by module

    def dumps(self, thing: Any) -> bytes:
        """Pack something. Raises: PicklingError with the path to what cannot be pickled."""
        try:
            return self._dump(thing)
        except Exception as error:
            from .._codec import blame

            raise blame(thing, error, self._dump) from error

    def _dump(self, thing: Any) -> bytes:
        return _dumped(thing, self)

    def goes_by_value(self, module: str) -> bool:
        """Whether what is defined in a module travels by value. Asks a worker, the first time, and waits for it."""
        if module in MAINS:
            return not self._cluster.has_main or _is_typed_in(module)
        if self._cluster.has_main or module.partition(".")[0] == "procession":
            return False
        if module not in self._has:
            digest = _digest_here(module)
            self._has[module] = digest is None or self._ask(module, digest)
        return not self._has[module]

    def _ask(self, module: str, digest: str) -> bool:
        try:
            return bool(self._cluster.submit(has_module, module, digest).result(ASKING_S))
        except Exception:
            return False


def dumps_back(thing: Any) -> bytes:
    """In a worker: pack a result for who sent the task."""
    return _dumped(thing, None)


# Modules


def has_module(name: str, digest: str) -> bool:
    """In a worker: whether it can import a module whose file has this content. Imports its packages, not itself."""
    from importlib.util import find_spec

    if name not in _seen:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            spec = None
        _seen[name] = _digest(spec.origin) if spec is not None and spec.origin is not None else None
    return _seen[name] == digest


_seen: dict[str, str | None] = {}  # as the files were when first asked for: what is imported does not change


def _digest_here(module: str) -> str | None:
    """What tells a module of this program's own from others of the name; None for one that is installed."""
    path = getattr(sys.modules.get(module), "__file__", None)
    if path is None or not path.endswith(".py") or "-packages/" in path:
        return None
    installed = sysconfig.get_paths()
    if path.startswith(tuple(installed[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))):
        return None
    return _digest(path)


def _digest(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.blake2b(file.read(), digest_size=16).hexdigest()
    except OSError:
        return None


def _is_typed_in(module: str) -> bool:
    main = sys.modules.get(module)
    return getattr(main, "__file__", "<stdin>") == "<stdin>"


# Picklers. With cloudpickle where it is installed; its class is made when first needed.


def _dumped(thing: Any, shipping: Shipping | None) -> bytes:
    global _class
    if _class is None:
        try:
            import cloudpickle  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            _class = _ByName
        else:
            _class = _class_by_value(cloudpickle)
    file = io.BytesIO()
    _class(file, shipping).dump(thing)
    return file.getvalue()


_class: Any = None


def _reducers(*tables: dict[type, Any]) -> dict[type, Any]:
    """Reducers by type: of several tables the later wins, and over all what programs registered with multiprocessing.

    In one dict: it is looked into for every object, and a ChainMap's look costs as much as pickling one.
    """
    merged: dict[type, Any] = {}
    for table in (*tables, reduction.ForkingPickler._extra_reducers):  # type: ignore[attr-defined]
        merged.update(table)
    return merged


class _ByName(pickle.Pickler):
    """Without cloudpickle."""

    def __init__(self, file: Any, shipping: Shipping | None) -> None:
        import copyreg

        super().__init__(file, PROTOCOL)
        self.dispatch_table = _reducers(copyreg.dispatch_table)
        self._shipping = shipping

    def reducer_override(self, thing: Any) -> Any:
        if self._shipping is not None and isinstance(thing, type | types.FunctionType):
            module = thing.__module__ or ""
            if self._shipping.goes_by_value(module):
                raise PicklingError(
                    f"{thing.__qualname__} is defined in {module}, which the workers of "
                    f"{self._shipping._cluster.name} do not have: install cloudpickle (pip install "
                    "'procession[pickle]'), or put it into a module that they can import"
                )
        return NotImplemented


def _class_by_value(cloudpickle: Any) -> Any:
    trackers = getattr(cloudpickle.cloudpickle, "_DYNAMIC_CLASS_TRACKER_BY_CLASS", {})
    made_here: Any = weakref.WeakSet()  # classes that this process was the first to send: nobody knows their numbers

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def __init__(self, file: Any, shipping: Shipping | None) -> None:
            # Before the constructor, which looks at it; the class's own would win later
            self.dispatch_table = _reducers(
                *reversed(cloudpickle.Pickler.dispatch_table.maps), {io.TextIOWrapper: _refuse}
            )
            super().__init__(file, PROTOCOL)
            self._shipping = shipping

        def reducer_override(self, thing: Any) -> Any:
            if not isinstance(thing, CODE):
                return NotImplemented  # soon: this is asked for every object
            if self._shipping is not None:
                return self._sent(thing, self._shipping)
            if isinstance(thing, type | types.FunctionType) and _is_in_main(thing):
                return NotImplemented  # by name: a worker that has it there has the program's main module
            if isinstance(thing, type):
                number = None if thing in made_here else trackers.get(thing)
                if number is not None:
                    return _class_of, (number, thing.__module__, thing.__qualname__)
                made_here.add(thing)
            return super().reducer_override(thing)

        def _sent(self, thing: Any, shipping: Shipping) -> Any:
            if isinstance(thing, types.ModuleType):
                self._settle(thing.__name__, shipping)
            elif isinstance(thing, type | types.FunctionType):
                module = thing.__module__ or ""
                if _is_in_main(thing) and not shipping.goes_by_value(module):
                    return NotImplemented
                self._settle(module, shipping)
                if isinstance(thing, types.FunctionType):
                    return self._function(thing, shipping)
            return super().reducer_override(thing)

        def _function(self, function: types.FunctionType, shipping: Shipping) -> Any:
            """A function as it is reduced, by value with globals that it shares."""
            names = function.__globals__
            module = names.get("__name__", "")
            if id(names) not in self.globals_ref:
                token = shipping.token if module not in sys.modules or shipping.goes_by_value(module) else ""
                self.globals_ref[id(names)] = _Globals(token, module)
            reduced = super().reducer_override(function)
            if type(reduced) is tuple and len(reduced) == 6:  # else it goes by name
                reduced = (*reduced[:5], _set_state)
            return reduced

        @staticmethod
        def _settle(module: str, shipping: Shipping) -> None:
            if module in sys.modules and module not in MAINS and shipping.goes_by_value(module):
                cloudpickle.register_pickle_by_value(sys.modules[module])

    return Pickler


def _refuse(thing: Any) -> Any:
    """As pickle does. (cloudpickle sends what an open file contains, in its place.)"""
    raise TypeError(f"cannot pickle {type(thing).__name__!r} instances")


class _Globals(dict[str, "Any"]):
    """Stands for the globals of functions, and arrives as a dict that they share with others."""

    def __init__(self, token: str, module: str) -> None:
        super().__init__()
        self._of = token, module

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared_globals, (*self._of, dict(self))


_shared: dict[tuple[str, str], dict[str, Any]] = {}  # by token and module
MOST_SHARED = 256  # of a worker that lives long; arbitrary


def _shared_globals(token: str, module: str, first: dict[str, Any]) -> dict[str, Any]:
    """The globals of a module's functions that came by value; without a token the module is here itself."""
    if not token:
        return vars(import_module(module))
    if len(_shared) >= MOST_SHARED and (token, module) not in _shared:
        _shared.pop(next(iter(_shared)), None)
    return _shared.setdefault((token, module), first)


def _set_state(function: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """As cloudpickle sets a function's state, but what its globals have already stays."""
    from cloudpickle.cloudpickle import _function_setstate  # type: ignore[import-untyped, unused-ignore]

    names, own = function.__globals__, state[1]
    own["__globals__"] = {name: value for name, value in own["__globals__"].items() if name not in names}
    _function_setstate(function, state)


def _is_in_main(thing: Any) -> bool:
    """Whether something can be found by its name in the main module of this process."""
    if thing.__module__ not in MAINS:
        return False
    found: Any = sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is thing


def _class_of(number: str, module: str, name: str) -> Any:
    """The class that went out under a number. Raises: AttributeError when it is gone from its module."""
    import cloudpickle.cloudpickle as theirs  # type: ignore[import-untyped, unused-ignore]

    cls = getattr(theirs, "_DYNAMIC_CLASS_TRACKER_BY_ID", {}).get(number)
    return cls if cls is not None else getattr(sys.modules[module], name)
