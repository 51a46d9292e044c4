"""Functions and classes of a main module that no new interpreter can import: a prompt, a notebook, standard input, -c.

They travel by value, with cloudpickle where it is installed. What differs from cloudpickle alone:

* A class that the receiver has already, because it was forked when the class was there, goes by name, as in a script:
  its instances are instances over there, and class attributes that cannot be pickled do no harm.
* A class that came by value goes back by its tracking number, not by value: the sender gets instances of its own class,
  whose methods stay what they are. (cloudpickle would replace them by copies with globals of their own.)
* The reducers registered with multiprocessing's ForkingPickler hold, and large buffers travel out of band.

Nothing here is loaded, and nothing slower, in programs whose main module is a file.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any
    from weakref import WeakSet

__all__ = [
    "ByValue",
    "answer_by_value",
    "has_cloudpickle",
    "is_typed_in",
    "main_is_typed_in",
    "pickler",
    "typed_in",
]

OUT_OF_BAND = 64 * 1024  # bytes; as the codec's


def main_is_typed_in() -> bool:
    """Whether the main module is one that a new interpreter cannot import: a prompt, or standard input."""
    return getattr(sys.modules["__main__"], "__file__", "<stdin>") == "<stdin>"


def is_typed_in(thing: object) -> bool:
    """Whether a function or class stands in such a module, or was typed at the prompt that `python -i FILE` gives."""
    if getattr(thing, "__module__", None) != "__main__":
        return False
    code = getattr(thing, "__code__", None)
    return main_is_typed_in() or (code is not None and code.co_filename.startswith("<"))


def has_cloudpickle() -> bool:
    """Whether cloudpickle can be imported."""
    try:
        import cloudpickle  # type: ignore[import-untyped, unused-ignore] # noqa: F401
    except ImportError:
        return False
    return True


def typed_in() -> WeakSet[type]:
    """The classes that the main module has now: who is forked from here on has them too."""
    from weakref import WeakSet

    return WeakSet(thing for thing in list(vars(sys.modules["__main__"]).values()) if isinstance(thing, type))


def pickler(
    file: Any,
    buffer_callback: Callable[[Any], Any] | None = None,
    known: Iterable[Any] = (),
    *,
    answering: bool = False,
) -> Any:
    """A pickler, protocol 5, that writes what was typed in by value; None where cloudpickle is not installed.

    `known`: classes that the receiver has under the same name. `answering`: the receiver is the process that sent by
    value what came here so. (Otherwise it is one that will answer: it is made to pickle so from then on.)
    """
    if not has_cloudpickle():
        return None
    made = _pickler_class()(file, 5, True, buffer_callback)
    made.known, made.answering = known, answering
    return made


class ByValue:
    """Stands for an object in a message, and arrives as the object itself: what of it was typed in goes by value."""

    __slots__ = ("known", "thing")

    def __init__(self, thing: Any, known: Iterable[Any]) -> None:
        self.thing, self.known = thing, known

    def __repr__(self) -> str:
        return repr(self.thing)

    def __len__(self) -> int:
        return len(self.thing)

    def __reduce__(self) -> tuple[Any, ...]:
        import io

        file, buffers = io.BytesIO(), []

        def collect(buffer: Any) -> bool:
            if buffer.raw().nbytes < OUT_OF_BAND:
                return True
            buffers.append(buffer)
            return False

        made = pickler(file, collect, self.known)
        if made is None:  # the receiver's error says what is missing
            return _same, (self.thing,)
        made.dump(self.thing)
        return _rebuild, (file.getvalue(), *buffers)


def _same(thing: Any) -> Any:
    return thing


def _rebuild(data: bytes, *buffers: Any) -> Any:
    import pickle

    return pickle.loads(data, buffers=buffers)


class _Arriving:
    """Stands for an object in a pickle, and arrives as the object itself; see `_arrived`."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.thing,)


def _arrived(thing: Any) -> Any:
    answer_by_value()
    return thing


def answer_by_value() -> None:
    """In a process that was given something by value: let what it sends, through whatever channel, be pickled so."""
    from multiprocessing import reduction

    from . import _codec  # noqa: F401  (it notes which class is the standard one)

    reduction.ForkingPickler = _answering_class()  # type: ignore[misc]


# The pickler. Its class is made when first needed: it derives from cloudpickle's.

_classes: dict[str, Any] = {}


def _pickler_class() -> Any:
    if "pickler" not in _classes:
        _classes["pickler"] = _make_class()
    return _classes["pickler"]


def _answering_class() -> Any:
    if "answering" not in _classes:
        base = _pickler_class()
        _classes["answering"] = type(base.__name__, (base,), {"answering": True, "__module__": __name__})
    return _classes["answering"]


def _make_class() -> Any:
    from collections import ChainMap
    from multiprocessing.reduction import ForkingPickler

    import cloudpickle

    class Pickler(ForkingPickler, cloudpickle.Pickler):  # type: ignore[misc]
        """See the module. Called as a ForkingPickler is, and has its class methods."""

        known: Iterable[Any] = ()
        answering = False

        def __init__(
            self, file: Any, protocol: int | None = None, fix_imports: bool = True, collect: Any = None
        ) -> None:
            # Before the constructor, which looks at it; the class's own would win later
            own = cloudpickle.Pickler.dispatch_table
            self.dispatch_table: Any = ChainMap(self._extra_reducers, _tables(), own)
            cloudpickle.Pickler.__init__(self, file, protocol, collect)

        def dump(self, thing: Any) -> None:
            super().dump(thing if self.answering else _Arriving(thing))

        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, type) and thing.__module__ == "__main__":
                if _is_here(thing) and (self.answering or thing in self.known):
                    return NotImplemented  # by name
                if self.answering:
                    number = _number_of(thing)
                    if number is not None:
                        return _class_of, (number, thing.__qualname__)
                    _made_here.add(thing)
            return super().reducer_override(thing)

    return Pickler


def _tables() -> Any:
    from ._codec import _OWN_REDUCERS

    return _OWN_REDUCERS


def _is_here(thing: Any) -> bool:
    return getattr(sys.modules["__main__"], thing.__qualname__, None) is thing


# Classes that came by value, by cloudpickle's number for them

_made_here: Any = set()  # and sent by value: nobody is sure to know their numbers


def _number_of(cls: type) -> Any:
    """cloudpickle's number for a class that came here by value; None for others."""
    import cloudpickle.cloudpickle as theirs  # type: ignore[import-untyped, unused-ignore]

    return None if cls in _made_here else getattr(theirs, "_DYNAMIC_CLASS_TRACKER_BY_CLASS", {}).get(cls)


def _class_of(number: Any, name: str) -> Any:
    """The class that went out under a number. Raises: AttributeError when it is gone from the main module."""
    import cloudpickle.cloudpickle as theirs

    cls = getattr(theirs, "_DYNAMIC_CLASS_TRACKER_BY_ID", {}).get(number)
    return cls if cls is not None else getattr(sys.modules["__main__"], name)
