"""What a release is made of: the notes, the metadata, the licences, the workflow files.

Building and trying wheels takes minutes; that is `make release`."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import load_script

import procession

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CARGO = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
changelog = load_script("changelog")
third_party = load_script("third_party")

RELEASED = """\
# Changelog

Head.

## 0.2.0 (2027-01-31)

In short.

### Added

#### Pools and executors

- They grow.

#### Locks

- They are fair.

#### Other

- Something else.

### Fixed

- They shrink again.

## 0.1.0 (2026-12-01)

Old.
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What a release changes, in a folder of its own."""
    (tmp_path / "Cargo.toml").write_text('[workspace.package]\nversion = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\nHead.\n\n## 0.1.0 (2026-12-01)\n\nOld.\n")
    folder = tmp_path / "changelog.d"
    folder.mkdir()
    (folder / "README.md").write_text("# Change notes\n")
    (folder / "summary.md").write_text("In short.\n")
    (folder / "added-locks.md").write_text("**Locks.** They are\nfair.\n")
    (folder / "added-pools.md").write_text("**Pools and executors.** They grow.\n")
    (folder / "added-rest.md").write_text("Something else.\n")
    (folder / "fixed-pools.md").write_text("They shrink again.\n")
    return tmp_path


def test_a_release_moves_the_entries(project: Path) -> None:
    assert changelog.main(["--release", "0.2.0", "--date", "2027-01-31"], project) == 0
    assert (project / "CHANGELOG.md").read_text() == RELEASED
    assert [path.name for path in (project / "changelog.d").iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--release", "0.3.0"], "Cargo.toml says version 0.2.0"),
        (["--release", "0.2.0", "--date", "soon"], "isoformat"),
    ],
)
def test_a_wrong_release_changes_nothing(
    project: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_text() for path in project.rglob("*.md")}
    assert changelog.main(arguments, project) == 1
    assert said in capsys.readouterr().err
    assert {path: path.read_text() for path in project.rglob("*.md")} == before


def test_a_release_is_made_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert changelog.main(["--release", "0.2.0"], project) == 0
    assert changelog.main(["--release", "0.2.0"], project) == 1
    assert "has 0.2.0 already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("new-thing.md", "It is there.", "begins with none of"), ("added-x.md", "**Cakes.** Good.", "none of the topics")],
)
def test_an_entry_nobody_would_find_is_refused(
    project: Path, name: str, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "changelog.d" / name).write_text(text)
    assert changelog.main([], project) == 1
    assert said in capsys.readouterr().err


def test_the_waiting_entries_can_be_released() -> None:
    notes = changelog.notes(ROOT / "changelog.d")
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", notes):
        assert (ROOT / target).exists(), f"a note links to {target}, which is to be relative to the repository"
    for entry in changelog.entries_of(ROOT / "changelog.d"):
        assert len(entry.read_text()) < 800, f"{entry.name} is for users: say less, and link to a page"


def test_the_version_is_in_one_place() -> None:
    assert procession.__version__ == CARGO["version"]
    assert not re.search(r"\d\.\d+\.\d", (ROOT / "python" / "procession" / "__init__.py").read_text())
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    for crate in (ROOT / "crates").glob("*/Cargo.toml"):
        package = tomllib.loads(crate.read_text())["package"]
        assert package["version"] == {"workspace": True}, crate


def test_metadata_agrees() -> None:
    project = PYPROJECT["project"]
    assert project["urls"]["Repository"] == CARGO["repository"]
    assert project["license"] == CARGO["license"]
    for name in project["license-files"]:
        assert (ROOT / name).exists()
    oldest = project["requires-python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {oldest}" in project["classifiers"]
    features = tomllib.loads((ROOT / "crates" / "python" / "Cargo.toml").read_text())["features"]
    assert features["abi3"] == [f"pyo3/abi3-py{oldest.replace('.', '')}"]
    profile = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]
    assert PYPROJECT["tool"]["maturin"]["profile"] in profile


def test_licences_are_those_of_the_locked_crates() -> None:
    locked = {(p["name"], p["version"]) for p in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    listed = third_party.listed((ROOT / third_party.LICENCES).read_text())
    assert ("pyo3", dict(locked)["pyo3"]) in listed
    assert listed <= locked, "make licences"


def _steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_what_they_say(path: Path) -> None:
    text = path.read_text()
    workflow = yaml.safe_load(text)
    assert text.startswith("# UNTESTED ON A FORGE.")
    assert workflow["permissions"] == {"contents": "read"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for step in _steps(workflow):
        assert "run" in step or re.fullmatch(r"[\w./-]+@(v\d+|release/v\d+)", step["uses"]), step
        for words in re.findall(r"\bmake ((?:[a-z-]+ ?)+)", step.get("run", "")):
            assert set(words.split()) <= targets, step
        for script in re.findall(r"\bscripts/\S+", step.get("run", "")):
            assert (ROOT / script).exists()


def test_workflows_try_every_python() -> None:
    named = "".join(path.read_text() for path in WORKFLOWS)
    for minor in (*range(11, 15), "13t", "14t"):
        assert f'"3.{minor}"' in named


def test_scripts_are_shell() -> None:
    for script in (ROOT / "scripts").glob("*.sh"):
        assert subprocess.run(["sh", "-n", script], timeout=50, check=False).returncode == 0, script
