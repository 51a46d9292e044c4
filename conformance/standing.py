"""What the tests start, interpreters on scripts and `-c` programs, shall find what this process has found.

Replaces `subprocess.Popen.__init__` in the process that runs the tests. Against procession, `python FLAGS script`
becomes `python FLAGS -m procession run script`; a `-c` program is given one line more, which installs procession and
lets it find a whole `test` package. Children of multiprocessing itself do not come this way: see procession.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

from .suites import WHOLE

_WITH_VALUE = ("-X", "-W")  # flags whose value is the next argument


def changed(command: list[str], against: str, executor: bool = False) -> list[str]:
    """The command line for the same program as we want it. Another program's is left as it is."""
    if not command or command[0] != sys.executable:
        return command
    at = 1
    while at < len(command):
        argument = command[at]
        if argument == "-c":
            first = _first_line(command[1:at], against, executor)
            return [*command[: at + 1], first + command[at + 1], *command[at + 2 :]]
        if argument == "-m" or not argument.startswith("-"):
            run = ["-m", "procession", "run"] if against == "procession" else []
            return [*command[:at], *run, *command[at:]]
        at += 2 if argument in _WITH_VALUE else 1
    return command


def _first_line(flags: list[str], against: str, executor: bool) -> str:
    """What goes before a `-c` program. Without `site` an interpreter does not see what is installed."""
    line = f"import sys; sys.path.insert(0, {WHOLE!r}); "
    if against == "procession":
        if "-S" in flags:
            import procession

            line += f"sys.path.append({procession.__path__[0].removesuffix('/procession')!r}); "
        line += "import procession; procession.install(); "
        if executor:
            line += "import concurrent.futures; concurrent.futures.ProcessPoolExecutor = procession.Executor; "
        line += "del procession; "
    return line + "del sys\n"


def install(against: str, executor: bool = False) -> None:
    """`executor`: those programs shall find `procession.Executor` in the place of `ProcessPoolExecutor`."""
    original = subprocess.Popen.__init__

    @functools.wraps(original)
    def __init__(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        if isinstance(args, (list, tuple)) and all(isinstance(arg, str) for arg in args):
            args = changed(list(args), against, executor)
        original(self, args, *rest, **options)

    subprocess.Popen.__init__ = __init__  # type: ignore[method-assign]
