"""python -m benchmarks.dropin [--rounds 5] [--only queue_bound,pool_bound] [--save NAME]"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import describe

PROGRAMS = sorted(path.stem for path in Path(__file__).with_name("programs").glob("*.py"))
RESULTS = Path(__file__).resolve().parents[1] / "results"
LEAST = {"queue_bound": 5.0, "pool_bound": 5.0}  # times faster that each program is to be; the others: not slower
NOT_SLOWER = 1 / 1.05
COMMANDS = {"python": [sys.executable], "procession run": [sys.executable, "-m", "procession", "run"]}
TIMEOUT_S = 300


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dropin", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each of both has its turn (default 5)")
    parser.add_argument("--only", default=",".join(PROGRAMS), help="programs, separated by commas; default: all")
    parser.add_argument("--save", metavar="NAME", help="store table and samples under this name in results/")
    options = parser.parse_args()
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(PROGRAMS):
        sys.exit(f"unknown programs: {', '.join(sorted(unknown))}; known: {', '.join(PROGRAMS)}")
    samples = {program: measure(program, options.rounds) for program in chosen}
    table = "\n".join(lines(samples))
    print(table)
    if options.save:
        stored = {"machine": describe(), "seconds": samples}
        (RESULTS / f"{options.save}.json").write_text(json.dumps(stored, indent=1) + "\n")
        (RESULTS / f"{options.save}.md").write_text(f"{heading(stored['machine'])}\n\n{table}\n")


def heading(machine: dict[str, object]) -> str:
    return "# The same unmodified program under both\n\n" + "; ".join(
        f"{key}: {value}" for key, value in machine.items()
    )


def measure(program: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of work by command, both in each round; none where the program lacks a package."""
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds):
        answers = []
        for name, command in COMMANDS.items():
            result = run(program, command)
            if result is None:
                return samples
            samples[name].append(result["seconds"])
            answers.append(result["answer"])
        if answers[0] != answers[1]:
            sys.exit(f"{program}: {answers[0]} under python, {answers[1]} under procession")
        print(f"{program} {number + 1}/{rounds}", file=sys.stderr, flush=True)
    return samples


def run(program: str, command: list[str]) -> dict[str, float] | None:
    """What the program printed, or None if a package that it wants is not installed."""
    path = Path(__file__).with_name("programs") / f"{program}.py"
    ended = subprocess.run([*command, str(path)], capture_output=True, text=True, timeout=TIMEOUT_S)
    if "ModuleNotFoundError" in ended.stderr:
        return None
    if ended.returncode:
        sys.exit(f"{program} failed under {' '.join(command)}:\n{ended.stderr}")
    result: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return result


def lines(samples: dict[str, dict[str, list[float]]]) -> list[str]:
    """A row for each program: medians, how many times faster, the range over the rounds, what was promised."""
    rows = [
        "| program | python, s | procession run, s | times faster | rounds | promised |",
        "|---|---|---|---|---|---|",
    ]
    for program, both in samples.items():
        standard, ours = both.values()
        if not ours:
            rows.append(f"| {program} | – | – | not run: a package is missing | – | – |")
            continue
        ratios = [theirs / mine for theirs, mine in zip(standard, ours, strict=True)]
        promised = LEAST.get(program, NOT_SLOWER)
        median = statistics.median(ratios)
        shown = f"{median:.2f}" if median >= promised else f"**{median:.2f}**"
        rows.append(
            f"| {program} | {statistics.median(standard):.3f} | {statistics.median(ours):.3f} | {shown} "
            f"| {min(ratios):.2f}–{max(ratios):.2f} | {promised:.2f} |"
        )
    return rows


if __name__ == "__main__":
    main()
