"""What a lock guards: memory, files, databases. Exact with it, wrong without it, in every run.

The programs are those of examples/critical, run as a reader would run them. Which of two readings comes first is left
to chance in none of them: without the lock, both tellers have read before either writes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import procession
from procession.errors import AbandonedLockWarning

EXAMPLES = Path(__file__).parents[1] / "examples" / "critical"
LOST, EXACT = "without the lock: 100\n", "with the lock: 200\n"
PAYMENTS = 100  # of each of two tellers that pay in as quickly as they can


def run(*command: object, timeout: float = 50) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=timeout)


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "append", "rewrite", "sqlite"])
def test_a_payment_is_lost_without_the_lock_and_none_with_it(name: str) -> None:
    done = run("-W", "error", EXAMPLES / f"{name}.py")
    assert (done.stdout, done.stderr) == (LOST + EXACT, "")


@pytest.mark.slow
def test_the_same_with_a_database_server(database: str) -> None:
    done = run("-W", "error", EXAMPLES / "postgres.py", database)
    assert (done.stdout, done.stderr) == (LOST + EXACT, "")


def test_postgres_says_what_it_needs() -> None:
    pytest.importorskip("psycopg")
    done = run(EXAMPLES / "postgres.py")
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")


@pytest.mark.slow
def test_check_finds_the_update_that_is_lost() -> None:
    done = run("-m", "procession", "check", "--json", EXAMPLES / "memory.py")
    assert done.returncode == 3, done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["kind"] == "lost-update"
    assert {place["source"] for place in finding["places"]} >= {
        "balance = account.value  # read ...",
        "account.value = balance + amount  # ... and written back",
    }


@pytest.mark.slow
def test_check_finds_nothing_where_the_lock_is_taken(tmp_path: Path) -> None:
    script = tmp_path / "right.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "import memory, procession, tellers\n"
        "account = procession.Value('i', 0)\n"
        "tellers.two_children(memory.deposit, account, account.get_lock())\n"
        "print(account.value)\n"
    )
    done = run("-m", "procession", "check", script)
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


# In earnest: as many payments as there is time for, nobody waits for anybody but at the lock.


def nothing() -> None:
    """Takes the place of `Meanwhile`."""


def pay_often(start: Any, deposit: Any, account: Any, lock: Any, payments: int) -> None:
    start.wait(30)
    for _ in range(payments):
        deposit(account, 1, lock, nothing)


def two_hurry(deposit: Any, account: Any, lock: Any, payments: int = PAYMENTS) -> None:
    given = procession.Barrier(2), deposit, account, lock, payments
    children = [procession.Process(target=pay_often, args=given) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.result()


@pytest.mark.usefixtures("examples")
def test_memory_in_a_hurry() -> None:
    import memory

    account = procession.Value("i", 0)
    payments = 20_000  # each takes a microsecond
    two_hurry(memory.deposit, account, account.get_lock(), payments)
    assert account.value == 2 * payments


@pytest.mark.usefixtures("examples")
def test_append_in_a_hurry(tmp_path: Path) -> None:
    import append

    journal = tmp_path / "journal"
    two_hurry(append.deposit, journal, procession.Lock())
    assert append.balance(journal) == 2 * PAYMENTS


@pytest.mark.usefixtures("examples")
def test_rewrite_in_a_hurry(tmp_path: Path) -> None:
    import rewrite

    account = tmp_path / "account"
    account.write_text("0")
    two_hurry(rewrite.deposit, account, procession.Lock())
    assert account.read_text() == str(2 * PAYMENTS)


HURRY = """
import sys
sys.path.insert(0, {examples!r})
import procession, rewrite
lock = procession.Lock(path={lock!r})
for _ in range({payments}):
    rewrite.deposit({account!r}, 1, lock, lambda: None)
"""


@pytest.mark.slow
def test_unrelated_programs_in_a_hurry(tmp_path: Path) -> None:
    account = tmp_path / "account"
    account.write_text("0")
    program = HURRY.format(examples=str(EXAMPLES), lock=str(tmp_path / "lock"), account=str(account), payments=PAYMENTS)
    programs = [subprocess.Popen([sys.executable, "-W", "error", "-c", program]) for _ in range(2)]
    assert [started.wait(50) for started in programs] == [0, 0]
    assert account.read_text() == str(2 * PAYMENTS)


KILLED_INSIDE = """
import sys
sys.path.insert(0, {examples!r})
import procession, rewrite

def meanwhile():
    print("inside", flush=True)
    sys.stdin.read()  # until it is killed

rewrite.deposit({account!r}, 1, procession.Lock(path={lock!r}), meanwhile)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("examples")
def test_who_is_killed_inside_keeps_nobody_out(tmp_path: Path) -> None:
    import rewrite

    account, lock = tmp_path / "account", tmp_path / "lock"
    account.write_text("0")
    ours = procession.Lock(path=lock)  # so that somebody is left who knows of the dead
    program = KILLED_INSIDE.format(examples=str(EXAMPLES), lock=str(lock), account=str(account))
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == b"inside\n"
        started.kill()
    with pytest.warns(AbandonedLockWarning):
        rewrite.deposit(account, 100, ours, nothing)
    assert account.read_text() == "100", "the account is as it was before whoever was killed"
