"""The little of `dataclasses.dataclass(frozen=True)` that small records need, without importing it.

`dataclasses` brings `inspect`, some 10 ms, which is more than it takes to start a pool of two workers.
"""

from __future__ import annotations

__all__ = ["dataclass"]


def _init(self: object, *values: object, **named: object) -> None:
    names = list(type(self).__annotations__)
    if len(values) > len(names):
        raise TypeError(f"{type(self).__name__} takes {len(names)} values, not {len(values)}")
    given = dict(zip(names, values, strict=False)) | named
    for name in names:
        if name not in given and not hasattr(type(self), name):
            raise TypeError(f"{type(self).__name__} lacks {name!r}")
    self.__dict__.update(given)


def _repr(self: object) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__annotations__)
    return f"{type(self).__name__}({fields})"


def _values(record: object) -> list[object]:
    return [getattr(record, name) for name in type(record).__annotations__]


def _eq(self: object, other: object) -> bool:
    return type(self) is type(other) and _values(self) == _values(other)


def _hash(self: object) -> int:
    return hash((type(self), *_values(self)))


def _refuse(self: object, name: str, value: object = None) -> None:
    raise AttributeError(f"{type(self).__name__} cannot be changed")


def dataclass(*, frozen: bool) -> object:
    """A decorator: constructor, equality and repr from the annotations of the class itself."""
    assert frozen
    methods = {"__init__": _init, "__repr__": _repr, "__eq__": _eq, "__hash__": _hash, "__setattr__": _refuse}

    def decorate(cls: type) -> type:
        for name, method in methods.items():
            setattr(cls, name, method)
        return cls

    return decorate
