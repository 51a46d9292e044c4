"""Start a child by running a fresh interpreter, which imports what it needs.

Everything is pickled before anything is started, so an object that cannot be sent raises in the caller and leaves no
half-started child. The child inherits a memory file with the pickle; nothing is written through a pipe, so a child that
dies early cannot block its parent.
"""

from __future__ import annotations

import io
import os
from multiprocessing import context, util

from .._bootstrap import (
    Family,
    Inherited,
    fallback_path,
    has_pidfd,
    lifeline,
    own_sentinel,
    preparation_data,
    tracker_fd,
)
from .._outcome import HEADER_BYTES
from .fork import BasePopen

TYPE_CHECKING = False  # `typing` is slow to import, and children should start quickly
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Popen", "interpreter_flags", "pickle_process", "run_interpreter"]


class Popen(BasePopen):
    """Run a new interpreter, and in it the process object."""

    method = "spawn"
    DupFd = Inherited

    def __init__(self, process_obj: Any) -> None:
        self._fds: list[int] = []
        super().__init__(process_obj)

    def duplicate_for_child(self, fd: int) -> int:
        """Called while pickling: let the child inherit `fd`."""
        self._fds.append(fd)
        return fd

    def _launch(self, process_obj: Any) -> None:
        pickle_process(process_obj, self)
        with lifeline() as end:
            self._run(*self._command_line(end))

    def _command_line(self, lifeline: int) -> tuple[Any, list[Any], list[int]]:
        """The interpreter, its arguments, and the descriptors it inherits."""
        from multiprocessing import spawn

        parent_sentinel, tracker = own_sentinel(), tracker_fd()
        command = (
            f"import sys; sys.path.append({fallback_path()!r}); from procession._bootstrap import spawn_main; "
            f"spawn_main({self.outcome.fd}, {parent_sentinel}, {lifeline}, {tracker})"
        )
        executable = spawn.get_executable()
        arguments = [executable, *interpreter_flags(), "-c", command, "--multiprocessing-fork"]
        inherited = [*self._fds, self.outcome.fd, parent_sentinel, lifeline]
        return executable, arguments, inherited if tracker is None else [*inherited, tracker]

    def _run(self, executable: Any, arguments: list[Any], inherited: list[int]) -> None:
        if has_pidfd():
            self.pid = run_interpreter(executable, arguments, inherited)
            self._watch_child()
            return
        sentinel, held_by_child = os.pipe()
        try:
            self.pid = run_interpreter(executable, arguments, [*inherited, held_by_child])
        except BaseException:
            os.close(sentinel)
            raise
        finally:
            os.close(held_by_child)
        self.sentinel = sentinel
        self.finalizer = util.Finalize(self, util.close_fds, (sentinel,))  # type: ignore[attr-defined]


def interpreter_flags() -> list[str]:
    """The options this interpreter was started with, as the standard library passes them on."""
    flags: Any = util._args_from_interpreter_flags  # type: ignore[attr-defined]
    return list(flags())


def run_interpreter(executable: Any, arguments: list[Any], inherited: list[int]) -> int:
    """Start a program that inherits these descriptors and no others; return its pid."""
    return int(util.spawnv_passfds(executable, arguments, sorted(set(inherited))))


def pickle_process(process_obj: Any, popen: Any) -> None:
    """Write the preparation data and the process object into the outcome's file, for the child to read.

    What is defined in a main module that a new interpreter cannot import goes by value, where cloudpickle is installed.

    Raises: PicklingError naming the argument and the path inside it; MainNotImportable when the target is defined in
    a main module that a new interpreter cannot import; NotGuarded.
    """
    data = preparation_data(process_obj._name, popen.method)
    # A process of the standard library's own class, made before `install`, was not started with interrupts held back
    data["hears_interrupts"] = getattr(process_obj, "_hears_interrupts", False)
    data["output"] = getattr(process_obj, "_wires", None)
    buffer = io.BytesIO()
    pickler: Any = None
    if not ("init_main_from_path" in data or "init_main_from_name" in data):
        from .. import _prompt

        pickler = _prompt.pickler(buffer)
        if pickler is None:
            _check_not_from_main(process_obj)
    previous: Any = context.get_spawning_popen()
    context.set_spawning_popen(popen)
    try:
        data = {**_family(popen), **data}  # first: the rest may refer to it
        context.reduction.dump(data, buffer)  # type: ignore[attr-defined]
        _dump(process_obj, buffer, pickler)
    finally:
        context.set_spawning_popen(previous)
    os.pwrite(popen.outcome.fd, bytes(HEADER_BYTES), 0)
    with popen.outcome.open("wb") as file:
        file.write(buffer.getbuffer())


def _family(popen: Any) -> dict[str, Any]:
    """What takes the child into the program's shared arena. Nothing where there is none: no descriptor is left, say."""
    from .._store import shared_arena

    try:
        arena = shared_arena()
        family = Family(context.reduction.DupFd(arena.fd), arena.token)  # type: ignore[attr-defined]
    except OSError:
        return {}
    popen.family = arena.token
    return {"family": family}


def _dump(process_obj: Any, buffer: io.BytesIO, pickler: Any) -> None:
    try:
        if pickler is None:
            context.reduction.dump(process_obj, buffer)  # type: ignore[attr-defined]
        else:
            pickler.dump(process_obj)
    except Exception as error:
        raise _blame(process_obj, error) from error


def _blame(process_obj: Any, error: Exception) -> Exception:
    """The error naming which argument of the process cannot be pickled."""
    from .._blame import advice, find_unpicklable, is_for_threads, shorten
    from ..errors import PicklingError, ProcessionError

    dumps = context.reduction.ForkingPickler.dumps  # type: ignore[attr-defined]
    for field, value in _fields(process_obj):
        try:
            dumps(value)
        except Exception:
            path, part, reason = find_unpicklable(value, dumps, field)
            if isinstance(reason, ProcessionError) and not isinstance(reason, PicklingError):
                return reason
            what = f"{path} is {shorten(part)}, which cannot be sent to a new process"
            instead = advice(part) or "pass something importable"
            if not is_for_threads(part):
                instead += ", or use get_context('fork')"
            return PicklingError(
                f"{process_obj.name}: {what} ({type(reason).__name__}: {reason}); {instead}", path=path
            )
    return error


def _fields(process_obj: Any) -> list[tuple[str, object]]:
    """What a process object carries, each with the name its author knows it by."""
    known = {"_target", "_args", "_kwargs", "_forward", "_wires"}
    fields: list[tuple[str, object]] = [("target", process_obj._target)]
    fields += [(f"args[{index}]", value) for index, value in enumerate(process_obj._args)]
    fields += [(f"kwargs[{key!r}]", value) for key, value in process_obj._kwargs.items()]
    fields += [(f"self.{name}", value) for name, value in vars(process_obj).items() if name not in known]
    return fields


def _check_not_from_main(process_obj: Any) -> None:
    """Refuse early what the child could not find: its main module has no file to import."""
    for field, value in [("the process's class", type(process_obj)), *_fields(process_obj)]:
        named = value if hasattr(value, "__qualname__") else type(value)
        if getattr(named, "__module__", None) == "__main__":
            from ..errors import MainNotImportable

            raise MainNotImportable(
                f"{field} is defined in the main module, which was read from standard input or a prompt: a new "
                "interpreter cannot import it. Save the program in a file, install cloudpickle, or use "
                "get_context('fork')"
            )
