"""The arguments of `run` and `check`: options of ours, then a program as `python` is given one, whose own follow.

They are read here and not by argparse, whose import would double the time until a short program begins.
"""

from __future__ import annotations

import sys

from procession.cli.manual import Option, show
from procession.cli.mistakes import no_option, none_of, refuse

TYPE_CHECKING = False  # `typing` is slow to import
if TYPE_CHECKING:
    from procession.cli.manual import Manual

__all__ = ["METHODS", "PROGRAM", "PROGRAM_OPTIONS", "parse"]

METHODS = ("fork", "spawn", "forkserver", "thread")
PROGRAM = "[OPTIONS] SCRIPT | -m MODULE | -c CODE [ARGUMENTS]"
PROGRAM_OPTIONS = (  # what the program is, in the help
    Option("SCRIPT", help="a file, a directory or zip file with a __main__.py, or - for standard input"),
    Option("-m", "MODULE", "a module or package, found as imports are"),
    Option("-c", "CODE", "the program itself"),
    Option("ARGUMENTS", help="what the program finds in sys.argv[1:]"),
)


def parse(manual: Manual, options: tuple[Option, ...], arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The values of our options by their first name, and the program with its arguments: a file, or -m or -c and more.

    An option that takes no value has the value "1". Prints the help and ends, if that is asked for; says what is wrong
    and ends, if something is.
    """
    known = {name: one for one in options for name in one.option_strings}
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "-m", "-c"):
        name, equals, value = rest.pop(0).partition("=")
        if name in ("-h", "--help"):
            show(manual.text([("Options", options)]))
            sys.exit(0)
        if name == "--" and not equals:
            break
        if name[:2] in ("-m", "-c"):  # as python does: `-mpackage`
            rest[:0] = [name[:2], name[2:] + equals + value]
            break
        one = known.get(name)
        if one is None or (equals and not one.metavar):
            refuse(manual.name, no_option(name, known) if one is None else f"{name} takes no value")
        if one.metavar and not equals and one.value == "needed":
            if not rest:
                refuse(manual.name, f"no {one.metavar.lower()} after {name}")
            value = rest.pop(0)
        if one.choices and value not in one.choices:
            refuse(manual.name, none_of(value, one.choices, "start method"))
        given[one.option_strings[0]] = value if one.metavar else "1"
    if not rest or (rest[0] in ("-m", "-c") and len(rest) < 2):
        refuse(manual.name, f"nothing to run{f' after {rest[0]}' if rest else ': name a program'}")
    return given, rest
