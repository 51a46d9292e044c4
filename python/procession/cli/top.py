"""`procession top`: the task manager, in this terminal or, with --web, in a browser."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import io
import os
import select
import sys
import threading

from procession._variables import parsed
from procession.cli.arguments import Parser, whole
from procession.cli.codes import EXIT_FAILED, EXIT_USAGE
from procession.cli.manual import Manual
from procession.cli.shared import complain
from procession.errors import NoSuchProgram

__all__ = ["MANUAL", "parser"]

SERVER = "PROCESSION_TOP_SERVER"  # the number of the process that serves this screen to a browser
INSTALL = "pip install 'procession[top]'"

MANUAL = Manual(
    "top",
    "[OPTIONS] [PID]",
    "A task manager for programs that use procession: processes and threads with processor time and memory, and who "
    "waits for what; queues, locks and pools. ? shows the keys, q leaves.",
    (
        "procession top",
        "procession top 4121",
        "procession top --web --port 8765",
    ),
    (
        "Without PID every program of this user that uses procession, also those that start later. Watching costs the "
        "program nothing: it is read from outside, also when it hangs.",
        "With --web a browser shows the same. The address that is printed has a secret in it; whoever has it can watch "
        "and end these processes. It is reached from this machine only: from another, through "
        "`ssh -L PORT:127.0.0.1:PORT HOST`.",
        "It needs more packages: pip install 'procession[top]'.",
    ),
)


def parser() -> Parser:
    """The arguments of `procession top`."""
    one = Parser(MANUAL)
    one.set_defaults(command=run_top)
    one.add_argument("pid", metavar="PID", type=whole(1), nargs="?", help="the number of any process of the program")
    one.add_argument(
        "--interval", metavar="SECONDS", type=float, default=1.0, help="time between two looks (1; at least 0.1)"
    )
    one.add_argument("--web", action="store_true", help="serve it to a browser on this machine")
    one.add_argument("--port", metavar="N", type=int, default=0, help="of --web; one that is free, if not given")
    return one


def run_top(options: argparse.Namespace) -> int:
    """Runs until the user leaves it."""
    if not 0.1 <= options.interval <= 3600:
        return complain("--interval is between 0.1 and 3600 seconds", EXIT_USAGE)
    if options.port and not options.web:
        return complain("--port goes with --web", EXIT_USAGE)
    if not 0 <= options.port <= 65535:
        return complain("--port is between 1 and 65535", EXIT_USAGE)
    if not options.web and (problem := terminal_problem()):
        return complain(problem, EXIT_USAGE)
    missing = [name for name in ("textual", "psutil") if not importlib.util.find_spec(name)]
    if options.web and not importlib.util.find_spec("textual_serve"):
        missing.append("textual-serve")
    if missing:
        return complain(f"procession top needs {' and '.join(missing)}; install with: {INSTALL}", EXIT_USAGE)
    from procession.monitor.watch import Watch

    try:
        watch = Watch(options.pid)
    except NoSuchProgram as error:
        return complain(f"{error}. `procession ps` lists what can be watched", EXIT_FAILED)
    if options.web:
        watch.close()
        from procession.monitor.web import serve

        os.environ[SERVER] = str(os.getpid())
        return serve(options.pid, options.interval, options.port)
    from procession.monitor.screen import Top

    # Textual draws on standard error, also where `2>errors` leads that elsewhere
    sys.__stderr__ = sys.__stdout__  # type: ignore[misc]
    if isinstance(sys.__stdout__, io.TextIOWrapper):
        sys.__stdout__.reconfigure(errors="replace")  # an error in its thread that writes would leave a dead screen
    # A look at a large program makes tens of thousands of small objects without cycles, and the next lets them go.
    # Collections triggered by that number would be half of the monitor's work.
    gc.set_threshold(200_000, 20, 20)
    parent = server()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    top = Top(watch, options.interval)
    top.run()
    return top.return_code or 0


def server() -> int | None:
    """The process that serves this screen to a browser, if one does."""
    return parsed(SERVER, int, "the process id of a server")


def _end_with(server: int) -> None:
    """End when that process has ended, however it did: nobody else would end a screen that is nobody's."""
    with contextlib.suppress(ProcessLookupError):
        ending = select.poll()
        ending.register(os.pidfd_open(server), select.POLLIN)
        ending.poll()
    os._exit(0)


def terminal_problem() -> str | None:
    """Why this is no place for a full screen, and what is; None where it is one."""
    if "TEXTUAL_DRIVER" in os.environ:
        return None  # a browser is the terminal
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return (
            "procession top needs a terminal. `procession ps` prints the same once (--json for programs), "
            "`procession top --web` shows it in a browser"
        )
    if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        return (
            f"this terminal (TERM={os.environ.get('TERM', '')}) cannot show a full screen. `procession ps` prints the "
            "same once, `procession top --web` shows it in a browser"
        )
    return None
