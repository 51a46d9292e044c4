"""`procession completion`: what has the Tab key complete commands, options, choices, files, jobs and processes.

What a shell loads is a few lines that ask this command, at each Tab, what could stand there. So one description, the
parsers', serves three shells and is never out of date, and what is known only then (which programs run) can be offered.
shtab writes scripts from argparse's parsers; it knows no running programs, and `run` and `check` have no such parser.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any

from procession.cli.arguments import Parser, one_of
from procession.cli.catalogue import COMMANDS, JOBS, KINDS, command
from procession.cli.codes import EXIT_OK
from procession.cli.manual import Manual
from procession.cli.programs import METHODS
from procession.cli.shared import ENGINES, output

__all__ = ["MANUAL", "answer", "candidates", "parser"]

FILES, DIRECTORIES, WORDS = "files", "directories", "words"
OF_VALUE = {  # by metavar: what else than the words below may stand there
    **dict.fromkeys(("FILE", "PATH", "SCRIPT", "INPUT", "JOB", "FUNCTION", "RUN", "ARGUMENTS"), FILES),
    **dict.fromkeys(("DIR", "DIRECTORY"), DIRECTORIES),
}
BASH = r"""
# Completion of `procession` for bash: eval "$(procession completion bash)"
_procession() {
    local word=${COMP_WORDS[COMP_CWORD]} answer found
    [[ $word == "=" ]] && word=
    mapfile -t answer < <("$1" completion --answer bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=("${answer[@]:1}")
    case ${answer[0]} in
        files) mapfile -t found < <(compgen -f -- "$word") ;;
        directories) mapfile -t found < <(compgen -d -- "$word") ;;
        *) return ;;
    esac
    compopt -o filenames 2>/dev/null
    COMPREPLY+=("${found[@]}")
}
complete -F _procession procession
"""
ZSH = r"""
#compdef procession
# Completion of `procession` for zsh: eval "$(procession completion zsh)", after compinit
_procession() {
    local -a answer
    local kind
    answer=("${(@f)$("${words[1]}" completion --answer zsh "${(@)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    kind=$answer[1]
    shift answer
    [[ $PREFIX == --*=* ]] && compset -P '*='
    (( $#answer )) && _describe -V procession answer
    case $kind in
        files) _files ;;
        directories) _files -/ ;;
    esac
}
if [[ $funcstack[1] == _procession ]]; then _procession "$@"; else compdef _procession procession; fi
"""
FISH = r"""
# Completion of `procession` for fish: procession completion fish | source
function __procession_answer
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l answer (command $words[1] completion --answer fish $words[2..-1] "$word" 2>/dev/null)
    switch "$answer[1]"
        case files
            __fish_complete_path "$word"
        case directories
            __fish_complete_directories "$word"
    end
    printf '%s\n' $answer[2..-1]
end
complete -c procession -f -a '(__procession_answer)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}

MANUAL = Manual(
    "completion",
    "bash|zsh|fish",
    "Print what lets a shell complete commands, options and their values, files, names of jobs, and the numbers of "
    "programs that run. Tab then asks this command.",
    (
        'eval "$(procession completion bash)"   # here and now; in ~/.bashrc for good',
        'eval "$(procession completion zsh)"    # in ~/.zshrc, after compinit',
        "procession completion fish | source    # in ~/.config/fish/config.fish",
    ),
    ("Nothing is installed: what is printed calls the `procession` that was typed, so it need not be made anew.",),
)


def parser() -> Parser:
    """The arguments of `procession completion`."""
    one = Parser(MANUAL)
    one.set_defaults(command=run_completion)
    one.add_argument("shell", **one_of(*SCRIPTS), help="which shell's")
    return one


def run_completion(options: argparse.Namespace) -> int:
    """Prints the script."""
    with output(None) as out:
        out.write(SCRIPTS[options.shell].lstrip())
    return EXIT_OK


def answer(shell: str, words: list[str]) -> int:
    """What the scripts ask by `procession completion --answer SHELL WORD...`: prints what may stand in the place of the
    last word: which files in the first line, then words."""
    if shell == "bash":
        words = _joined(words)
    typed = words[-1] if words else ""
    kind, found = candidates(words)
    option, equals, value = typed.partition("=")
    lead = f"{option}=" if equals and option.startswith("--") else ""
    start = value if lead else typed
    lines = [kind]
    for word, meaning in found:
        if not word.startswith(start):
            continue
        if shell == "fish":
            lines.append(f"{lead}{word}\t{meaning}")
        else:
            lines.append(word.replace(":", "\\:") + f":{meaning}" if shell == "zsh" and meaning else word)
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_OK


def _joined(words: list[str]) -> list[str]:
    """bash ends a word at each equals sign: `--format`, `=`, `json` are one."""
    whole: list[str] = []
    for word in words:
        if whole and (word == "=" or whole[-1].endswith("=")) and whole[-1].startswith("--"):
            whole[-1] += word
        else:
            whole.append(word)
    return whole


def candidates(words: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """What may stand in the place of the last of the words that follow `procession`: which files, and words with their
    meanings, whatever the last begins with."""
    *before, typed = words or [""]
    if not before or before == ["help"]:
        rest = [] if before else [("--help", "this help"), ("--version", "which version this is")]
        return WORDS, [(one.name, one.summary) for one in COMMANDS] + rest
    name = before[0]
    if command(name) is None:
        return FILES, []
    options = _options(name)
    flags = {flag: one for one in options for flag in one.option_strings}
    arguments = [one for one in options if not one.option_strings]
    given, waiting = 0, None  # arguments so far, and the option whose value is next
    for word in before[1:]:
        if waiting is not None:
            waiting = None
        elif word in flags:
            waiting = flags[word] if _takes_next(flags[word]) else None
        elif not word.startswith("-"):
            given += 1
        if name in ("run", "check") and given + (word in ("-m", "-c")) > 0 and waiting is None:
            return FILES, []  # the program's own arguments
    if waiting is not None:
        return _values(waiting)
    flag, equals, _ = typed.partition("=")
    if equals and flag in flags:
        return _values(flags[flag])
    if typed.startswith("-"):
        return WORDS, [(flag, one.help or "") for flag, one in flags.items()]
    if name in ("run", "check"):
        return FILES, []
    if not arguments or (given >= len(arguments) and arguments[-1].nargs != "+"):
        return WORDS, []
    return _values(arguments[min(given, len(arguments) - 1)])


def _options(name: str) -> list[Any]:
    """The options and arguments of a command, ours or argparse's."""
    if name == "run":
        from procession.cli import running

        return list(running.OPTIONS)
    if name == "check":
        from procession.cli import checking

        return list(checking.OPTIONS)
    from procession.cli.commands import parser_of

    return [one for _, options in parser_of(name).groups() for one in options]


def _takes_next(option: Any) -> bool:
    return option.nargs != 0 and getattr(option, "value", "needed") == "needed"


def _values(option: Any) -> tuple[str, list[tuple[str, str]]]:
    words: Iterable[tuple[str, str]] = ()
    if option.choices:
        words = [(choice, "") for choice in option.choices]
    elif option.metavar in FIND:
        words = FIND[option.metavar]()
    return OF_VALUE.get(option.metavar or "", WORDS), list(words)


def _programs() -> list[tuple[str, str]]:
    from procession import _registry

    return list({str(program.pid): program.command for program in _registry.programs()}.items())


FIND: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "PID": _programs,
    "JOB": lambda: [(name, "") for name in JOBS],
    "KINDS": lambda: [(name, "") for name in KINDS],
    "ENGINE": lambda: [(name, "") for name in ENGINES],
    "NAME": lambda: [(name, "") for name in METHODS],
    "HOW": lambda: [(name, "") for name in ("count", "sum", "mean", "min", "max", "lines")],
}
