"""`make smoke`: what is in dist/ installs on every Python of this machine, works there, and goes away again.

    python scripts/smoke.py DIST [--source] [--python PATH ...]

For each Python from 3.11 on: a fresh virtual environment, an empty home, no compiler on the path, and `pip install
procession` from an index made of the files in DIST; then `scripts/smoke_program.py`, `pip check`, and `pip uninstall`,
after which nothing may be left. An older Python must be told what it lacks, a file that was changed must be refused.
With `--source` the source is installed as well, on the first Python, with Rust and whatever registries pip is
configured for.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAM = Path(__file__).with_name("smoke_program.py")
OLDEST = (3, 11)
IN_SOURCE = ("Cargo.lock", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-LICENSES.txt", "README.md", "CHANGELOG.md")
NOT_IN_SOURCE = ("benchmarks/", "docs/", "tests/", "target/", "__pycache__", ".so")


class Failed(Exception):
    """What did not hold, with what the command said."""


def pythons() -> Iterator[Path]:
    """The newest of each minor version: pyenv's, else what the system has."""
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in range(9, 20):
        for name in (f"3.{minor}", f"3.{minor}t"):
            own = sorted(
                folder.glob(f"3.{minor}.*/bin/python{name}"), key=lambda p: [int(n) for n in re.findall(r"\d+", str(p))]
            )
            for path in [*reversed(own), Path("/usr/bin") / f"python{name}", Path("/usr/local/bin") / f"python{name}"]:
                if path.exists() and version_of(path):
                    yield path
                    break


def version_of(python: Path) -> tuple[int, ...]:
    asked = "import sys, venv; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=60, check=False)
    return tuple(map(int, done.stdout.split()))


def lacks_wheel(python: Path, dist: Path) -> bool:
    """A Python without the GIL needs a wheel of its own, which is made where there is such a Python."""
    name = "cp" + "".join(map(str, version_of(python))) + "t"
    return python.name.endswith("t") and not list(dist.glob(f"*-{name}-*.whl"))


def index_of(dist: Path, folder: Path) -> str:
    """A package index of the files in dist, as a URL: pages that pip reads as it reads PyPI's."""
    page = folder / "procession"
    page.mkdir(parents=True)
    links = [
        f'<a href="{file.resolve().as_uri()}#sha256={hashlib.sha256(file.read_bytes()).hexdigest()}" '
        f'data-requires-python="&gt;=3.11">{file.name}</a>'
        for file in sorted(dist.glob("procession-*"))
    ]
    (page / "index.html").write_text("<!DOCTYPE html><html><body>" + "<br>".join(links) + "</body></html>")
    return folder.resolve().as_uri()


class Environment:
    """A fresh virtual environment in a folder, with a home of its own that is empty."""

    def __init__(self, python: Path, folder: Path, path: str = "") -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir(parents=True)
        self.bin = folder / "venv" / "bin"
        kept = {key: os.environ[key] for key in ("LANG", "PIP_CERT", "SSL_CERT_FILE") if key in os.environ}
        kept |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        self.environment = {**kept, "HOME": str(self.home), "PATH": f"{self.bin}:{path}"}
        self.run(str(python), "-m", "venv", str(folder / "venv"))

    def run(self, *command: str, status: int = 0) -> str:
        done = subprocess.run(
            command, cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=1500, check=False
        )
        if done.returncode != status:
            told = f"exit code {done.returncode}, not {status}\n{done.stdout}{done.stderr}"
            raise Failed(f"{' '.join(command)}: {told}")
        return done.stdout + done.stderr

    def pip(self, *arguments: str, status: int = 0) -> str:
        return self.run(str(self.bin / "python"), "-m", "pip", *arguments, status=status)

    def program(self, version: str) -> str:
        return self.run(str(self.bin / "python"), "-I", str(PROGRAM), version)

    def files(self) -> set[Path]:
        """All that lies in the environment, but for what pip compiled of its own."""
        found = (path for path in (self.folder / "venv").rglob("*") if "__pycache__" not in path.parts)
        return {path for path in found if not path.is_dir()}


def installs(python: Path, index: str, version: str, folder: Path) -> str:
    """Everything that must hold for one Python. Gives what the program printed."""
    environment = Environment(python, folder)
    before = environment.files()
    environment.pip("install", "--index-url", index, "--only-binary", ":all:", "procession")
    said = environment.program(version)
    environment.pip("check")
    shown = environment.pip("show", "procession")
    if f"Version: {version}" not in shown:
        raise Failed(shown)
    environment.pip("uninstall", "--yes", "procession")
    left = environment.files() - before
    if left:
        raise Failed(f"left behind by pip uninstall: {sorted(map(str, left))[:5]}")
    return said


def refuses(python: Path, index: str, folder: Path) -> str:
    """An older Python is told which it would need."""
    said = Environment(python, folder).pip("install", "--index-url", index, "procession", status=1)
    if "Requires-Python >=3.11" not in said.replace("=>", ">="):
        raise Failed(f"does not say which Python is needed:\n{said}")
    return "refused: Requires-Python >=3.11\n"


def checks_hashes(python: Path, dist: Path, folder: Path) -> str:
    """`pip install --require-hashes` takes the wheel with its hash, and refuses another."""
    environment = Environment(python, folder)
    sums = [line.split() for line in (dist / "SHA256SUMS").read_text().splitlines()]
    named = re.search(r"-([\d.]+)\.tar\.gz", "".join(name for _, name in sums))
    assert named is not None
    for hashes, status in ([digest for digest, _ in sums], 0), (["0" * 64], 1):
        lines = [f"procession=={named.group(1)}", *(f"--hash=sha256:{digest}" for digest in hashes)]
        (environment.home / "requirements.txt").write_text(" ".join(lines))
        where = ("--no-index", "--find-links", str(dist.resolve()), "--only-binary", ":all:")
        said = environment.pip("install", *where, "--require-hashes", "-r", "requirements.txt", status=status)
        environment.pip("uninstall", "--yes", "procession")
    if "DO NOT MATCH THE HASHES" not in said:
        raise Failed(said)
    return "taken with its hash, refused with another\n"


def builds(python: Path, source: Path, version: str, folder: Path) -> str:
    """The source installs where there is Rust; what it is made of."""
    with tarfile.open(source) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    missing = [name for name in IN_SOURCE if name not in names]
    unwanted = [name for name in names if name.startswith(NOT_IN_SOURCE) or name.endswith(NOT_IN_SOURCE)]
    if missing or unwanted:
        raise Failed(f"{source.name}: missing {missing}, unwanted {unwanted[:5]}")
    real = Path.home()  # rustup and cargo live in the real one
    environment = Environment(python, folder, path=os.environ["PATH"])
    environment.environment |= {
        "CARGO_HOME": os.environ.get("CARGO_HOME", str(real / ".cargo")),
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(real / ".rustup")),
    }
    environment.pip("install", str(source.resolve()))
    return f"{len(names)} files\n" + environment.program(version)


class Trial:
    """What was tried, each in a folder of its own, and how often it failed."""

    def __init__(self, dist: Path, version: str, scratch: Path) -> None:
        self.dist, self.version, self.scratch = dist, version, scratch
        self.index = index_of(dist, scratch / "index")
        self.usable: list[Path] = []
        self.tried = self.failed = 0

    def attempt(self, title: str, check: Callable[..., str], *arguments: object) -> None:
        print(f"== {title}", flush=True)
        self.tried += 1
        try:
            print(check(*arguments, self.scratch / str(self.tried)), end="", flush=True)
        except Failed as error:
            self.failed += 1
            print(f"FAILED: {error}", flush=True)

    def python(self, python: Path) -> None:
        if version_of(python) < OLDEST:
            self.attempt(f"{python}, too old", refuses, python, self.index)
        elif lacks_wheel(python, self.dist):
            print(f"== {python}: free-threaded, and there is no wheel for it")
        else:
            self.usable.append(python)
            self.attempt(f"{python}, from the wheel", installs, python, self.index, self.version)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path)
    parser.add_argument("--source", action="store_true", help="install from source as well")
    parser.add_argument("--python", type=Path, action="append", help="this one only, instead of all that are found")
    chosen = parser.parse_args()
    [source] = chosen.dist.glob("procession-*.tar.gz")
    version = source.name.removeprefix("procession-").removesuffix(".tar.gz")
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(chosen.dist, version, Path(scratch))
        for python in chosen.python or pythons():
            trial.python(python)
        if trial.usable:
            trial.attempt("hashes", checks_hashes, trial.usable[0], chosen.dist)
            if chosen.source:
                trial.attempt(f"{trial.usable[0]}, from source", builds, trial.usable[0], source, version)
    print(f"{len(trial.usable)} Pythons, {trial.failed} failures")
    return bool(trial.failed or not trial.usable)


if __name__ == "__main__":
    sys.exit(main())
