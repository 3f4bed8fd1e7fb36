"""Settings of a command in a TOML file."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repatient._checks import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = "# settings of repatient "
_OWN = ("config", "write_config", "overwrite", "help")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Options that every command has."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="read settings from this TOML file")
    parser.add_argument("--write-config", type=Path, metavar="FILE", help="write the settings to a TOML file, and stop")


def wants_config(given: Sequence[str]) -> bool:
    """Whether settings are to be written and nothing is to be run."""
    return any(argument.partition("=")[0] == "--write-config" for argument in given)


def with_config(parser: argparse.ArgumentParser, given: list[str]) -> list[str]:
    """Arguments of a command with those of its file of settings in front, which those given by hand override."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config", type=Path)
    try:
        path = finder.parse_known_args(given)[0].config
    except argparse.ArgumentError as error:
        parser.error(str(error))
    return given if path is None else [*_read(parser, path), *given]


def _read(parser: argparse.ArgumentParser, path: Path) -> list[str]:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"`--config`: {str(path)!r} is no TOML file: {error}"
        raise ValueError(msg) from error
    options = _options(parser)
    unknown = [name for name in settings if name not in options]
    if unknown:
        msg = (
            f"`--config`: {str(path)!r} has {listed(unknown)}, which are no settings; there are {listed(options, 30)}."
        )
        raise ValueError(msg)
    arguments: list[str] = []
    for name, value in settings.items():
        is_switch = options[name].nargs == 0
        if isinstance(value, bool) != is_switch or not isinstance(value, bool | int | float | str):
            right = "true or false" if is_switch else "text or a number"
            msg = f"`--config`: {name!r} in {str(path)!r} is {right}, not {value!r}."
            raise ValueError(msg)
        if is_switch:
            arguments += [f"--{name}"] if value else []
        else:
            # One word, so that a value that begins with a dash is no option.
            arguments.append(f"--{name}={value}")
    return arguments


def write_config(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Write what the settings of a command are, each with its explanation."""
    from repatient._files._atomic import replace_when_whole
    from repatient._files._target import check_target

    command = parser.prog.rpartition(" ")[2]
    lines = [f"{_HEAD}{command}; run: repatient {command} … --config FILE", ""]
    for name, action in _options(parser).items():
        value = getattr(arguments, action.dest)
        help_text = (action.help or "") % {"default": action.default}
        line = f"{name} = {_toml(value)}" if value is not None else f'# {name} = ""'
        lines += [f"# {help_text}", line, ""]
    overwrite = bool(getattr(arguments, "overwrite", False))
    path = check_target(
        arguments.write_config, "--write-config", what="file of settings", ours=_is_config, overwrite=overwrite
    )
    with replace_when_whole(path) as new:
        new.write_text("\n".join(lines), encoding="utf-8")


def _is_config(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_HEAD)) == _HEAD.encode()


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Options by name that a file may set."""
    return {
        action.option_strings[-1].lstrip("-"): action
        for action in parser._actions
        if action.option_strings and action.dest not in _OWN
    }


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    # A string of JSON is one of TOML, too.
    return str(value) if isinstance(value, int | float) else json.dumps(str(value), ensure_ascii=True)
