"""The command as tests run it, a process of its own in a folder of its own; and scripts of the repository."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "procession"]


def procession(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end, without a terminal."""
    return subprocess.run(
        [*COMMAND, *arguments], cwd=cwd, capture_output=True, text=True, timeout=50, check=False, **options
    )


def complaint(stderr: str) -> str:
    """What the command says is wrong: its last line but for the one that says where help is, after wrong usage."""
    *_, last = (line for line in stderr.splitlines() if not re.fullmatch(r"See: procession( \w+)? --help", line))
    return last


def load_script(name: str) -> Any:
    """A script of the repository as a module, for its functions."""
    path = Path(__file__).parent.parent / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"procession_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def shared_names() -> set[str]:
    """What lies in /dev/shm, but for what other tests of this run may have there: servers, the standard library's
    semaphores, joblib's folders. None of our own has such a name."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith(("PostgreSQL.", "sem.", "joblib_"))}


def left_behind(folder: Path) -> list[int]:
    """Processes whose working directory is the test's own: every process the command started, and no other."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            state = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[0]
            if os.readlink(f"/proc/{entry}/cwd") == str(folder) and state != "Z":
                found.append(int(entry))
        except OSError:
            continue
    return found
