"""`procession doctor`: what this machine allows, printed as it is found out."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from procession.cli.arguments import Parser
from procession.cli.codes import EXIT_FAILED, EXIT_OK
from procession.cli.manual import Manual
from procession.cli.shared import columns, output

__all__ = ["MANUAL", "parser"]

RED, GREEN, BOLD, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[0m"

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
            colours = out.isatty()
            width = columns()
            for finding in examine():
                if not found or finding.topic != found[-1].topic:
                    print(f"{BOLD}{finding.topic}{PLAIN}" if colours else finding.topic, file=out)
                found.append(finding)
                print("\n".join(_told(finding, width, colours)), file=out, flush=True)
            print(_summary(found), file=out)
    return EXIT_FAILED if any(finding.problem for finding in found) else EXIT_OK


def _told(finding: Any, width: int, colours: bool) -> list[str]:
    sign = "!" if finding.problem else " "
    head = f"{sign} {finding.name}: "
    lines = textwrap.wrap(head + finding.value, width, subsequent_indent="    ", break_on_hyphens=False)
    if finding.mend:
        lines += textwrap.wrap(
            finding.mend, width, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
        )
    if colours:
        lines[0] = f"{RED if finding.problem else GREEN}{lines[0][: len(head)]}{PLAIN}{lines[0][len(head) :]}"
    return lines


def _summary(found: list[Any]) -> str:
    problems = [f"{finding.topic}, {finding.name}" for finding in found if finding.problem]
    return f"\nDoes not work as it should: {'; '.join(problems)}" if problems else "\nNothing stands in the way."
