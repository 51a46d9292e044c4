"""`procession doctor`: what this machine allows, printed as it is found out."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from procession.cli.arguments import Parser
from procession.cli.codes import EXIT_FAILED, EXIT_OK
from procession.cli.colours import BOLD, GREEN, RED, YELLOW, Paint
from procession.cli.manual import Manual
from procession.cli.shared import columns, output

__all__ = ["MANUAL", "parser"]

VERDICT, NAME = 11, 28  # columns
LEAST = 20  # columns for a value, or it begins further left
COLOURS = {"ok": GREEN, "limited": YELLOW, "missing": "", "broken": RED}

MANUAL = Manual(
    "doctor",
    "[OPTIONS]",
    "Say what this machine and this installation allow. What can be tried is tried: a process is started by every "
    "method, memory is shared, a program is read from outside. The rest is read from the kernel: processors and "
    "quotas, limits, rights, versions, extras, variables of the environment.",
    ("procession doctor", "procession doctor --json > machine.json"),
    (
        "Each line begins with a verdict: ok; limited, where something works with less than the machine has; missing, "
        "what is optional and not there; broken, what does not work. Below it is what follows, and what to do.",
    ),
)


def parser() -> Parser:
    """The arguments of `procession doctor`."""
    one = Parser(MANUAL)
    one.set_defaults(command=run_doctor)
    one.add_argument("--json", action="store_true", help="the same for programs: a list of findings")
    return one


def run_doctor(options: argparse.Namespace) -> int:
    """Examines and prints."""
    from procession.doctor import Finding, examine

    found: list[Finding] = []
    with output(None) as out:
        if options.json:
            import json
            from dataclasses import asdict

            found.extend(examine())
            json.dump([asdict(finding) for finding in found], out, indent=1)
            out.write("\n")
        else:
            paint, width = Paint(out), columns()
            for finding in examine():
                if not found or finding.topic != found[-1].topic:
                    print(paint(finding.topic, BOLD), file=out)
                found.append(finding)
                print("\n".join(_told(finding, width, paint)), file=out, flush=True)
            print(f"\n{textwrap.fill(_summary(found), width)}", file=out)
    return EXIT_FAILED if any(finding.problem for finding in found) else EXIT_OK


def _told(finding: Any, width: int, paint: Paint) -> list[str]:
    """A line: verdict, name, value; and below it what follows from that."""
    head = f"{'':{VERDICT}}{finding.name:<{NAME}}"
    lines = _wrapped(head + finding.value, width, VERDICT + NAME)
    lines[0] = paint(f"  {finding.verdict:<{VERDICT - 2}}", COLOURS[finding.verdict]) + lines[0][VERDICT:]
    return lines + (_wrapped(" " * VERDICT + finding.mend, width, VERDICT) if finding.mend else [])


def _wrapped(text: str, width: int, column: int) -> list[str]:
    """Words in lines; those after the first begin at that column."""
    room = column if width - column >= LEAST else VERDICT
    return textwrap.wrap(text, width, subsequent_indent=" " * room, break_on_hyphens=False)


def _summary(found: list[Any]) -> str:
    named = {verdict: [one.name for one in found if one.verdict == verdict] for verdict in ("limited", "missing")}
    broken = [f"{finding.topic}, {finding.name}" for finding in found if finding.problem]
    told = f"Does not work as it should: {'; '.join(broken)}." if broken else "Nothing stands in the way."
    return " ".join(
        [told, *(f"{verdict.capitalize()}: {', '.join(names)}." for verdict, names in named.items() if names)]
    )
