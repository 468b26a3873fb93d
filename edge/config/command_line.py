"""Options of a program as typer takes them, made from the fields of its configuration: nothing is said twice."""

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from vmimage.options import Option


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was given, if only with its default: then it goes before environment and file."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    """One parameter of a command, for its signature."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def option_parameter(option: Option) -> inspect.Parameter:
    """An option of the configuration as a parameter."""
    help_ = option.sentence + (" It must be given, here, in the environment or the file." if option.required else "")
    shown = option.about.unset or not option.required
    about = typer.Option(
        option.flag, help=help_, metavar=option.form, show_default=shown, allow_from_autoenv=False
    )  # `load_settings` reads the environment, and names it in messages
    if option.about.many == "words":  # it may be given several times
        return parameter(option.name, Annotated[list[str], about], option.default_text.split())
    return parameter(option.name, Annotated[str, about], option.default_text)


def given_texts(context: typer.Context, texts: Mapping[str, str | list[str]]) -> dict[str, str]:
    """Of all options those that the command line has, as texts."""
    found = {name: text if isinstance(text, str) else " ".join(text) for name, text in texts.items()}
    return {name: text for name, text in found.items() if is_given(context, name)}
