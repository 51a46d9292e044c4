"""Runs the classes of a suite one after another, each in a child process that is watched, and cleaned up after.

A child leads a session of its own, and everything it starts carries a mark in its environment: whatever is in that
session or bears that mark is found and killed when the child has ended, or has said nothing for too long.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .suites import WHOLE

ROOT = Path(__file__).parents[1]
MARK = "PROCESSION_CONFORMANCE_RUN"
GRACE = 3.0  # seconds for helpers (resource tracker, fork server) to leave after the tests have
POLL = 0.03  # seconds


@dataclass(frozen=True)
class Result:
    """What became of one test. `outcome`: ok, skipped, failed, hung, died, altered, left."""

    suite: str
    method: str
    name: str
    outcome: str
    detail: str = ""
    seconds: float = 0.0

    @property
    def id(self) -> str:
        return f"{self.suite}.{self.name}"

    @property
    def good(self) -> bool:
        return self.outcome in ("ok", "skipped")


class Unavailable(Exception):
    """The tests cannot be listed; says why."""


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "conformance.child", *arguments]


def _environment(mark: str = "") -> dict[str, str]:
    path = [str(ROOT), WHOLE, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, MARK: mark, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def list_tests(suite: str, method: str) -> list[str]:
    """Names of the tests of a suite for a start method.

    Raises: Unavailable.
    """
    done = subprocess.run(
        _command("list", suite, method), cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=120
    )
    if done.returncode:
        raise Unavailable(done.stderr.strip())
    return done.stdout.split()


class Runner:
    """Runs tests of one suite and start method; `watchdog` is the seconds that a test may take."""

    def __init__(self, suite: str, method: str, *, against: str, watchdog: float, logs: Path | None = None) -> None:
        self.suite = suite
        self.method = method
        self.against = against
        self.watchdog = watchdog
        self.logs = logs

    def run(self, names: list[str]) -> Iterator[Result]:
        """Results of the tests of one class. After a hang or a death the rest runs in another child."""
        left = list(names)
        while left:
            results, again = self._run_once(left)
            yield from results
            seen = {result.name for result in results}
            remaining = [name for name in left if name not in seen] if again else []
            if len(remaining) == len(left):
                yield from (self._result(name, "died", "its class could not be run") for name in left)
                return
            left = remaining

    def _result(self, name: str, outcome: str, detail: str = "", seconds: float = 0.0) -> Result:
        return Result(self.suite, self.method, name, outcome, detail, seconds)

    def _run_once(self, names: list[str]) -> tuple[list[Result], bool]:
        """Results as far as one child came, and whether another must go on."""
        with tempfile.TemporaryDirectory() as directory:
            watch = _Watch(Path(directory), self, names)
            try:
                outcome = watch.follow()
            except BaseException:  # an interrupt does not reach the child's session
                watch.clean(0.0)
                raise
            results = watch.results
            group = names[0].split(".")[0]
            if outcome:
                running = watch.running or f"{group}.(end)"
                results.append(self._result(running, outcome, watch.log(), time.monotonic() - watch.last))
            left = watch.clean(GRACE if outcome is None else 0.0)
            if left and outcome is None:
                results.append(self._result(f"{group}.(processes left)", "left", "\n".join(left)))
            if self.logs:
                (self.logs / f"{self.suite}-{self.method}-{group}.log").write_text(watch.log(1 << 20))
            return results, outcome is not None and bool(watch.running)


class _Watch:
    """One child, and what it has said so far."""

    def __init__(self, directory: Path, runner: Runner, names: list[str]) -> None:
        self.runner = runner
        self.events = directory / "events"
        self.events.touch()
        self.output = directory / "output"
        self.mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self.results: list[Result] = []
        self.running = ""
        self.ended = False
        self.read_up_to = 0
        self.last = time.monotonic()
        command = _command("run", runner.suite, runner.method, runner.against, str(self.events), *names)
        with open(self.output, "wb") as output:
            self.child = subprocess.Popen(
                command,
                cwd=ROOT,
                env=_environment(self.mark),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def log(self, most: int = 8000) -> str:
        return self.output.read_bytes()[-most:].decode(errors="replace")

    def follow(self) -> str | None:
        """Until the child has ended: None if it said so itself, else 'died' or 'hung'."""
        while True:
            ended = self._wait()
            self._read()
            if ended:
                return None if self.ended else "died"
            if time.monotonic() - self.last > self.runner.watchdog:
                self._dump()
                return "hung"

    def _wait(self) -> bool:
        try:
            self.child.wait(POLL)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _read(self) -> None:
        with open(self.events) as file:
            file.seek(self.read_up_to)
            text = file.read()
        whole = text[: text.rfind("\n") + 1]
        self.read_up_to += len(whole.encode())
        for line in whole.splitlines():
            self._note(*json.loads(line))

    def _note(self, what: str, name: str, detail: str, seconds: float) -> None:
        self.last = time.monotonic()
        if what == "start":
            self.running = name
        elif what == "done":
            self.ended = True
        else:
            self.running = "" if name == self.running else self.running
            if what == "altered":
                name, detail = f"{name}.(environment altered)", self.log()
            self.results.append(self.runner._result(name, what, detail, seconds))

    # The processes of this run

    def members(self) -> dict[int, str]:
        """Process ids and command lines of what lives in the child's session or bears its mark."""
        found = {}
        mark = f"{MARK}={self.mark}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] == "Z" or not (
                    int(fields[3]) == self.child.pid or mark in (entry / "environ").read_bytes().split(b"\0")
                ):
                    continue
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has just ended
        return found

    def _dump(self) -> None:
        """Let every process write its stacks into the log, and give them the time to."""
        with open(self.output, "ab") as output:
            for pid, command in self.members().items():
                output.write(f"\n--- alive: {pid} {command}\n".encode())
                output.flush()
                _kill(pid, signal.SIGRTMIN + 3)
                time.sleep(0.2)

    def clean(self, grace: float) -> list[str]:
        """Kill what is left after `grace` seconds; returns the command lines of those killed."""
        deadline = time.monotonic() + grace
        while (members := self.members()) and time.monotonic() < deadline:
            time.sleep(POLL)
        for pid in members:
            _kill(pid, signal.SIGKILL)
        self.child.wait()
        return list(members.values())


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
