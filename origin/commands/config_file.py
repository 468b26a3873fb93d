"""`--config FILE` and `--print-config` of a command: its own options as a TOML file, checked as the command line is.

The options' types, ranges and defaults are those that the command declares; nothing is said of them here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from click import UsageError

from vmimage.errors import OperatorError
from vmimage.toml_file import BYTES_MAX, lines_of, parse_toml

OWN: Final = frozenset(("config", "print_config", "help"))  # which a file cannot say


def take_file(context: typer.Context, file: Path | None) -> Path | None:
    """Take a file's values as defaults of all other options, which are read after this one.

    :raises OperatorError: it cannot be read, or a value is none of its option's; the message has file, line and key.
    """
    if file is not None:
        try:
            with file.open("rb") as opened:
                data = opened.read(BYTES_MAX + 1)
            values = parse_toml(str(file), data)
        except OSError as error:
            raise OperatorError(f"configuration {file}: {error.strerror or error}: check the path") from None
        except ValueError as error:
            raise OperatorError(str(error)) from None
        context.default_map = _defaults(context, str(file), values, lines_of(data.decode()))
    return file


def _defaults(context: typer.Context, file: str, values: Mapping[str, Any], lines: Mapping[str, int]) -> dict[str, Any]:
    options = {param.name: param for param in context.command.params if param.name not in OWN}
    found: dict[str, Any] = {}
    for key, value in values.items():
        name, place = key.replace("-", "_"), f"{file}:{lines.get(key, 1)}: {key}"
        if name in found:
            raise OperatorError(f"{place}: one spelling expected, it is given twice")
        if name not in options:
            near = get_close_matches(name, [each for each in options if each], 1)
            raise OperatorError(
                f"{place}: no option of this name: {f'did you mean {near[0]}?' if near else 'see --help'}"
            )
        if isinstance(value, dict | float) or (isinstance(value, list) and not options[name].multiple):
            raise OperatorError(f"{place}: a whole number or text expected, got {value!r}: write it so")
        found[name] = value if isinstance(value, bool | list) else str(value)
        try:
            options[name].process_value(context, found[name])
        except typer.BadParameter as error:
            raise OperatorError(f"{place}: {error.message}") from None
    return found


def read_again(context: typer.Context, words: Sequence[str]) -> dict[str, Any]:
    """All options as they are with the file as it is now.

    :param words: what the command was called with.
    :raises OperatorError: the file cannot be used any more.
    """
    try:
        again = context.command.make_context(context.info_name, list(words), parent=context.parent)
    except UsageError as error:  # an option that was only in the file, say
        raise OperatorError(error.format_message()) from None
    return {name: value for name, value in again.params.items() if name not in OWN}


def as_file(context: typer.Context) -> str:
    """All options as a file that says the same, with a word on who said each."""
    lines = []
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if name in OWN or source is None:
            continue
        where = {"COMMANDLINE": "option", "ENVIRONMENT": "environment", "DEFAULT_MAP": str(context.params["config"])}
        text = value if isinstance(value, bool | int | list) else "" if value is None else str(value)
        lines.append(
            f"{'# ' if value is None else ''}{name} = {json.dumps(text)}  # {where.get(source.name, 'default')}\n"
        )
    return "".join(lines)


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=take_file,
        is_eager=True,
        help="TOML file with the same options; the command line and the environment go before it.",
        metavar="FILE",
        show_default="none",
    ),
]
PrintOption = Annotated[
    bool, typer.Option("--print-config", help="Start nothing: print all options as a file, and who said each.")
]
