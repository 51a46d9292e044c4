"""What every exception of the package is."""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ProcessionError"]


def _rebuild(cls: type[ProcessionError], args: tuple[Any, ...], facts: dict[str, Any]) -> ProcessionError:
    """Make an exception again, with the fields and notes it had."""
    error = cls(*args)
    error.__dict__.update(facts)
    return error


class ProcessionError(Exception):
    """Base of every exception raised by this package."""

    def __init__(self, *args: object, **facts: object) -> None:
        """Take the message and, by keyword, any of the facts the class declares.

        Raises: TypeError for a fact the class does not have.
        """
        super().__init__(*args)
        for name, value in facts.items():
            if not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
            setattr(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())
