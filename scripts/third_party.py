"""What of others is in a wheel: their licences, and the bill of materials.

    python scripts/third_party.py --licences            write THIRD-PARTY-LICENSES.txt       (make licences)
    python scripts/third_party.py --sbom FILE [TARGET]  write a CycloneDX bill of materials  (make sbom)
                                                        --zig: of a wheel that zig linked

Both are made of what cargo resolves from Cargo.lock. A crate is *linked* if the extension reaches it without passing a
procedural macro or a build script; all others run while building only. Neither output names a folder of this machine,
a day or a random number, so the same commit gives the same bytes. maturin's own bill does not keep to that.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LICENCES = "THIRD-PARTY-LICENSES.txt"
EXTENSION = "procession-python"
TARGET = "x86_64-unknown-linux-gnu"
TEXTS = ("LICENSE-MIT", "LICENSE-MIT.md", "LICENSE", "LICENSE.md", "LICENSE.txt")  # where there is a choice, MIT
HEAD = """\
The extension module of procession, procession/_native.abi3.so, contains code of the crates below, each under the
licence that follows its name. Where a crate offers several licences, it is used under the MIT licence. Made by
`make licences`.

It also contains parts of the Rust standard library (MIT OR Apache-2.0; the text of the latter is LICENSE-APACHE, beside
this file), and in the wheels that the project publishes, LLVM's libunwind (Apache-2.0 WITH LLVM-exception).
"""


@dataclass(frozen=True)
class Crate:
    """A crate that the extension needs."""

    name: str
    version: str
    licence: str
    folder: Path
    linked: bool  # else it runs while building only
    ours: bool
    sha256: str  # of what the registry sent; empty for our own
    needs: tuple[str, ...]  # names and versions of crates

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def purl(self) -> str:
        return f"pkg:cargo/{self.name}@{self.version}"


def crates(root: Path, target: str = TARGET) -> list[Crate]:
    """All crates that the extension needs on this target, by name. Runs cargo."""
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
    metadata = json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    start = next(key for key, package in packages.items() if package["name"] == EXTENSION)
    linked = _reach(start, nodes, lambda key, kind: kind is None and not _is_macro(packages[key]))
    every = _reach(start, nodes, lambda key, kind: kind != "dev")
    sums = {(p["name"], p["version"]): p.get("checksum", "") for p in _locked(root)}
    found = [
        Crate(
            name=package["name"],
            version=package["version"],
            licence=package["license"].replace("/", " OR "),
            folder=Path(package["manifest_path"]).parent,
            linked=key in linked,
            ours=package["source"] is None,
            sha256=sums[package["name"], package["version"]],
            needs=tuple(
                sorted(
                    f"{packages[dep['pkg']]['name']} {packages[dep['pkg']]['version']}"
                    for dep in nodes[key]["deps"]
                    if dep["pkg"] in every
                )
            ),
        )
        for key in every
        for package in [packages[key]]
    ]
    return sorted(found, key=lambda crate: (crate.name, crate.version))


def _reach(start: str, nodes: dict[str, Any], follows: Any) -> set[str]:
    reached, waiting = {start}, [start]
    while waiting:
        for dep in nodes[waiting.pop()]["deps"]:
            key = dep["pkg"]
            if key not in reached and any(follows(key, kind["kind"]) for kind in dep["dep_kinds"]):
                reached.add(key)
                waiting.append(key)
    return reached


def _is_macro(package: dict[str, Any]) -> bool:
    return any("proc-macro" in target["kind"] for target in package["targets"])


def _locked(root: Path) -> list[dict[str, Any]]:
    locked: list[dict[str, Any]] = tomllib.loads((root / "Cargo.lock").read_text())["package"]
    return locked


def licences(found: list[Crate]) -> str:
    """The text of THIRD-PARTY-LICENSES.txt: the crates that share a text stand together above it."""
    texts: dict[str, list[Crate]] = {}
    for crate in found:
        if crate.linked and not crate.ours:
            texts.setdefault(_text(crate), []).append(crate)
    return "\n".join([HEAD, *_sections(texts)])


def _text(crate: Crate) -> str:
    for name in TEXTS:
        if (crate.folder / name).exists():
            lines = (crate.folder / name).read_text().strip().splitlines()
            return "\n".join(line.rstrip() for line in lines)
    raise SystemExit(f"{crate.label} brings none of {', '.join(TEXTS)}")


def _sections(texts: dict[str, list[Crate]]) -> Iterator[str]:
    for text, sharing in texts.items():
        names = "\n".join(f"{crate.label}  ({crate.licence})" for crate in sharing)
        yield f"{'-' * 78}\n{names}\n{'-' * 78}\n\n{text}\n"


def listed(text: str) -> set[tuple[str, str]]:
    """Names and versions of the crates that THIRD-PARTY-LICENSES.txt has."""
    return set(re.findall(r"^([a-z0-9_-]+) (\d\S*)  \(", text, re.MULTILINE))


def bill(found: list[Crate], ours: str, runtimes: list[dict[str, Any]]) -> dict[str, Any]:
    """The bill of materials of a wheel, as CycloneDX 1.6. Its number is made from what is in it."""
    own = {"type": "library", "name": "procession", "version": ours, "purl": f"pkg:pypi/procession@{ours}"}
    components = [*(_component(crate) for crate in found), *runtimes]
    needs = [{"ref": crate.label, "dependsOn": list(crate.needs)} for crate in found]
    extension = next(crate.label for crate in found if crate.name == EXTENSION)
    needs.append({"ref": "procession", "dependsOn": [extension, *(part["bom-ref"] for part in runtimes)]})
    made = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"bom-ref": "procession", **own, "licenses": [{"expression": "MIT OR Apache-2.0"}]}},
        "components": components,
        "dependencies": sorted(needs, key=lambda need: str(need["ref"])),
    }
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made, sort_keys=True))
    return {**made, "serialNumber": f"urn:uuid:{number}"}


def _component(crate: Crate) -> dict[str, Any]:
    part: dict[str, Any] = {
        "type": "library",
        "bom-ref": crate.label,
        "name": crate.name,
        "version": crate.version,
        "description": "linked" if crate.linked else "runs while building only",
        "scope": "required" if crate.linked else "excluded",
        "licenses": [{"expression": crate.licence}],
    }
    if not crate.ours:
        part |= {"purl": crate.purl, "hashes": [{"alg": "SHA-256", "content": crate.sha256}]}
    return part


def runtimes_of(zig: bool) -> list[dict[str, Any]]:
    """What the compiler and the linker put into the extension."""
    rustc = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    parts = [_runtime("rust-std", rustc, "The Rust standard library; linked", "MIT OR Apache-2.0")]
    if zig:
        licence = "Apache-2.0 WITH LLVM-exception"
        parts.append(_runtime("libunwind", f"zig {version('ziglang')}", "LLVM's, as zig brings it; linked", licence))
    return parts


def _runtime(name: str, release: str, description: str, licence: str) -> dict[str, Any]:
    part = {"type": "library", "name": name, "version": release, "description": description, "scope": "required"}
    return {**part, "bom-ref": f"{name} {release}", "licenses": [{"expression": licence}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--licences", action="store_true", help=f"write {LICENCES}")
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="write the bill of materials")
    parser.add_argument("--zig", action="store_true", help="of a wheel that this environment's zig links")
    parser.add_argument("target", nargs="?", default=TARGET, help="the target it is for (%(default)s)")
    chosen = parser.parse_args()
    found = crates(ROOT, chosen.target)
    if chosen.licences:
        (ROOT / LICENCES).write_text(licences(found))
    if chosen.sbom:
        ours = next(crate.version for crate in found if crate.name == EXTENSION)
        made = bill(found, ours, runtimes_of(chosen.zig))
        chosen.sbom.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    linked = [crate.label for crate in found if crate.linked and not crate.ours]
    print(f"{len(linked)} crates of others are linked: {', '.join(linked)}", file=sys.stderr)


if __name__ == "__main__":
    main()
