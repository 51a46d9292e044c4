"""`__all__` holds exactly what is public, and importing costs next to nothing."""

import importlib
import inspect
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

import procession

# From the files: to walk the packages would import them, and Dask and Ray with them, before any test runs
FOLDER = Path(procession.__file__).parent
PATHS = [path.relative_to(FOLDER.parent).with_suffix("") for path in sorted(FOLDER.rglob("*.py"))]
MODULES = [".".join(path.parts).removesuffix(".__init__") for path in PATHS if path.name != "__main__"]
MODULES.remove("procession")
# What users import from; in other modules `__all__` names what is meant for the neighbours
FOR_USERS = ["errors", "process", "context", "connection", "queues", "synchronize", "sharedctypes", "pool", "testing"]


def test_every_standard_name_is_here() -> None:
    missing = [name for name in multiprocessing.__all__ if name not in procession.__all__]
    assert missing == []
    for name in procession.__all__:
        assert getattr(procession, name) is not None
        assert name in dir(procession)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        procession.nonsense  # noqa: B018
    with pytest.raises(AttributeError, match=r"it is procession\.errors\.WorkerDied"):
        procession.WorkerDied  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_all_names_exist(name: str) -> None:
    module = importlib.import_module(name)
    private = any(part.startswith("_") for part in name.split("."))
    for public in getattr(module, "__all__", []) if private else module.__all__:
        assert hasattr(module, public), f"__all__ has {public}, the module has not"


@pytest.mark.parametrize("name", FOR_USERS)
def test_all_holds_the_public_names(name: str) -> None:
    module = importlib.import_module(f"procession.{name}")
    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }
    assert defined <= set(module.__all__), "public by name, but not exported"


@pytest.mark.parametrize("module", ["procession", "procession.context"])
def test_import_is_light(module: str) -> None:
    text = (
        "import sys, multiprocessing; before = set(sys.modules); "
        f"import {module}; new = set(sys.modules) - before; "
        "print(*sorted(m for m in new if not m.startswith(('procession', '__future__'))))"
    )
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout.split() == []
    text = f"import {module}, sys; print(*[m for m in ('ctypes', 'typing', 'tempfile', '_native') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-I", "-c", text], capture_output=True, text=True, timeout=50, check=True)
    assert ended.stdout.split() == []


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_another_system_is_named_at_once(platform: str) -> None:
    program = f"import sys; sys.platform = {platform!r}; import procession"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: procession runs on Linux")
    assert f"this is {platform}: use multiprocessing here" in done.stderr
