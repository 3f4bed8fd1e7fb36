"""Command line: each command is a module beside this one, and a line of the registry below."""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from repatient.cli._config import add_config, wants_config, with_config, write_config

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Learn the recipe of each class of patients (how a patient's cells spread over the components of a Gaussian mixture),
mix real cells into new patients by these recipes, and train and test classifiers of patients."""

# A command `x` is the module `repatient.cli._x` with a docstring, whose first line is the summary in the list of commands,
# `add_arguments(parser)`, and `run(arguments)`. These import nothing that is slow before they run.
COMMANDS = ("demo", "import", "embed", "augment", "evaluate", "train", "predict", "report")


class _Parser(argparse.ArgumentParser):
    """Parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 2 on bad input."""
    given = list(sys.argv[1:] if argv is None else argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            parser, commands = _parsers()
            command = commands.get(given[0]) if given else None
            if command is not None:
                given = [given[0], *with_config(command, given[1:])]
                if wants_config(given):
                    for action in command._actions:
                        action.required = False
            arguments = parser.parse_args(given)
            if command is not None and arguments.write_config is not None:
                write_config(command, arguments)
            else:
                arguments.run(arguments)
        except (KeyError, TypeError, ValueError, OSError, FloatingPointError, MemoryError) as error:
            print(f"repatient: error: {_one_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("repatient: interrupted", file=sys.stderr)
            return 130
    return 0


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    from repatient import __version__

    parser = _Parser(prog="repatient", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"repatient {__version__}")
    subparsers = parser.add_subparsers(metavar="command", required=True)
    commands: dict[str, argparse.ArgumentParser] = {}
    for name in COMMANDS:
        module = import_module(f"repatient.cli._{name}")
        summary, _, rest = (module.__doc__ or "").partition("\n")
        summary = summary.strip().rstrip(".")
        description = rest.strip() or f"{summary}."
        commands[name] = subparsers.add_parser(
            name, help=summary[0].lower() + summary[1:], description=description, allow_abbrev=False
        )
        module.add_arguments(commands[name])
        add_config(commands[name])
        commands[name].set_defaults(run=module.run)
    return parser, commands


def _one_line(error: BaseException) -> str:
    # A KeyError quotes its message.
    message = error.args[0] if isinstance(error, KeyError) and error.args else error
    if isinstance(error, MemoryError):
        message = f"not enough memory. {error}"
    if isinstance(error, OSError) and error.strerror and error.filename:
        message = f"{error.strerror}: {error.filename!r}"
    return " ".join(str(message).split()).replace("`data`", "the input")


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    from tqdm.auto import tqdm

    if issubclass(category, DeprecationWarning | FutureWarning):
        # They speak to those who write programs.
        return
    tqdm.write(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
