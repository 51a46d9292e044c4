"""The Python stack of each thread of a process, also of one that hangs: asked of py-spy, in a process of its own.

py-spy reads the interpreter's structures from outside, so the program need not answer, and is stopped for a moment only
(not even that, with `--nonblocking`, which is why that is the second try: it may see a stack half built).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from dataclasses import dataclass
from typing import Any

__all__ = ["Frame", "NoStack", "Stack", "stacks"]

TIMEOUT_S = 10.0  # py-spy needs about a tenth of a second; more only where the machine is overloaded


class NoStack(Exception):
    """The stack could not be had; the message says why, and what would mend it."""


@dataclass(frozen=True)
class Frame:
    """A call that has not returned."""

    function: str
    file: str
    line: int


@dataclass(frozen=True)
class Stack:
    """A thread's calls, the innermost first."""

    native_id: int | None
    name: str
    active: bool  # whether it computes
    frames: tuple[Frame, ...]


async def stacks(pid: int) -> list[Stack]:
    """The stacks of all threads of a process.

    Raises: NoStack with the reason: py-spy is not installed, may not look, or the process has gone.
    """
    program = find()
    if program is None:
        raise NoStack("Stacks are read by py-spy, which is not installed. Install it with: pip install py-spy")
    code, out, error = await _run(program, "dump", "--json", "--pid", str(pid))
    if code != 0 and "permission" not in error.lower() and _alive(pid):
        code, out, error = await _run(program, "dump", "--json", "--nonblocking", "--pid", str(pid))
    if code != 0:
        raise NoStack(_reason(pid, error))
    try:
        return [_stack(thread) for thread in json.loads(out)]
    except (ValueError, KeyError, TypeError) as wrong:
        raise NoStack(f"py-spy answered what is not understood here ({wrong}); its version may be too new") from wrong


def find() -> str | None:
    """The py-spy to call: the one beside this Python, or else on the path."""
    beside = os.path.join(os.path.dirname(sys.executable), "py-spy")
    return beside if os.access(beside, os.X_OK) else shutil.which("py-spy")


async def _run(*command: str) -> tuple[int, str, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise NoStack(f"py-spy could not be started: {error.strerror}") from error
    try:
        out, error_text = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    except (TimeoutError, asyncio.CancelledError) as stopped:
        process.kill()
        await process.wait()
        if isinstance(stopped, asyncio.CancelledError):
            raise
        raise NoStack(f"py-spy has not answered within {TIMEOUT_S:.0f} seconds") from stopped
    return process.returncode or 0, out.decode(errors="replace"), error_text.decode(errors="replace")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _reason(pid: int, error: str) -> str:
    """Why py-spy gave nothing, and what to do."""
    if not _alive(pid):
        return f"process {pid} has ended"
    if "permission" in error.lower() or "operation not permitted" in error.lower():
        return (
            f"py-spy may not look into process {pid}: the system forbids ptrace. Allow it with "
            "`sudo sysctl kernel.yama.ptrace_scope=0` (in a container: --cap-add SYS_PTRACE), "
            "or run procession top as root"
        )
    lines = [line for line in error.strip().splitlines() if line.strip()]
    return f"py-spy could not read process {pid}: {lines[-1].strip() if lines else 'it said nothing'}"


def _stack(thread: dict[str, Any]) -> Stack:
    frames = tuple(Frame(frame["name"], frame["filename"], int(frame["line"])) for frame in thread["frames"])
    return Stack(thread.get("os_thread_id"), thread.get("thread_name") or "", bool(thread.get("active")), frames)
