"""The arguments of the commands that let argparse read them: its parser, with our help and our way of refusing."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from procession._sizes import parse_size
from procession.cli.manual import Manual, show
from procession.cli.mistakes import meant, no_option, refuse

__all__ = ["Parser", "one_of", "positive_seconds", "size", "whole"]

NUMBER = re.compile(r"-\d+$|-\d*\.\d+$")  # what argparse takes for a negative number, and no option


class Parser(argparse.ArgumentParser):
    """Reads the arguments of a command. Wrong ones end it with one message, which names what was meant perhaps."""

    def __init__(self, manual: Manual) -> None:
        super().__init__(prog=f"procession {manual.name}", add_help=False)
        self.manual = manual
        self.add_argument("-h", "--help", action="help", help="this help")

    def groups(self) -> list[tuple[str, list[argparse.Action]]]:
        """Titles and what is below them: arguments, options, then the options that belong together."""
        groups = [(group.title or "", group._group_actions) for group in self._action_groups]
        (_, arguments), (_, options), *named = groups
        last = sorted(options, key=lambda option: "--help" in option.option_strings)
        return [*([("Arguments", arguments)] if arguments else []), ("Options", last), *named]

    def format_help(self) -> str:
        """The same for every command and on every Python."""
        return self.manual.text(self.groups())

    def print_help(self, file: Any = None) -> None:
        """To standard output."""
        show(self.format_help())

    def option_names(self) -> list[str]:
        """Every option, by each of its names."""
        return list(self._option_string_actions)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As ever, but an option that there is not is named before anything else is wrong."""
        self._look_for_mistakes(list(args or ()))
        return super().parse_known_args(args, namespace)

    def _look_for_mistakes(self, given: Sequence[str]) -> None:
        names = self.option_names()
        before = ""
        for word in given:
            if word == "--":
                return
            name = word.partition("=")[0] if word.startswith("--") else word[:2]
            if len(word) > 1 and word[0] == "-" and " " not in word and not NUMBER.match(word):
                if before and not self._is_named(name, names):
                    refuse(self.manual.name, f"{before} needs a value; one that begins with a dash: {before}={word}")
                if not self._is_named(name, names):
                    refuse(self.manual.name, no_option(word.partition("=")[0], names))
            action = self._option_string_actions.get(word)
            before = word if action is not None and action.nargs != 0 else ""

    @staticmethod
    def _is_named(name: str, names: Sequence[str]) -> bool:
        return any(known.startswith(name) if name.startswith("--") else known == name for known in names)

    def error(self, message: str) -> NoReturn:
        """One message, and where help is."""
        told = re.sub(r"^argument (\S+: (?=no ))?", "", message)
        if found := re.match(r"the following arguments are required: (.*)", message):
            told = f"nothing is given for {found[1]}"
        elif found := re.match(r"(.*): expected (one|at least one) argument", told):
            told = f"{found[1]} needs a value"
        refuse(self.manual.name, told)


def one_of(*known: str) -> dict[str, Any]:
    """For `add_argument`: one of these words; the error names the one that was meant."""

    def check(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(known)}{meant(text, known)}")
        return text

    return {"choices": known, "type": check}


def whole(least: int, what: str = "") -> Callable[[str], int]:
    """For `type=`: a whole number, at least so large."""

    def check(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"at least {least}{what and f' {what}'}, not {number}")
        return number

    return check


def positive_seconds(text: str) -> float:
    """For `type=`: a time in seconds, above 0."""
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, not {text}")
    return seconds


def size(text: str) -> int:
    """For `type=`: a number of bytes, as `parse_size` has it."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
