"""`procession doctor`: what this machine allows, printed as it is found out."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from procession.cli.shared import EXIT_FAILED, EXIT_OK, columns, output

__all__ = ["add_doctor"]

RED, GREEN, BOLD, PLAIN = "\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[0m"

HELP = """\
Tries what can be tried: starts a process by every method, shares memory, reads
a program from outside. Reads the rest from the kernel: processors and quotas,
limits, rights, versions, extras, variables of the environment. For what does
not work it says what to do.

Exit code: 0 nothing stands in the way; 1 something does not work; 2 wrong
usage.

Examples:
    procession doctor
    procession doctor --json > machine.json"""


def add_doctor(commands: Any) -> None:
    """The entry of `procession doctor` in the list of commands."""
    one = commands.add_parser(
        "doctor",
        help="what this machine allows: processors, memory, start methods, limits, extras",
        description="Examines this machine and this installation.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.set_defaults(command=run_doctor)
    one.add_argument("--json", action="store_true", help="the same for programs: a list of findings")


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
