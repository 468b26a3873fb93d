"""One option of a program: what an operator must know of it, and how its values are written."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from vmimage.sizes import format_size

Unit = Literal["", "bytes", "s"]
_FORMS: Final[Mapping[Unit, str]] = {"bytes": "SIZE", "s": "SECONDS", "": "COUNT"}


class About(NamedTuple):
    """What an operator must know of a field. Without a range (`high` 0) any value of its type will do."""

    help: str
    unit: Unit = ""
    low: float = 0
    high: float = 0
    form: str = ""  # how a value is written, where its type and unit do not say so
    unset: str = ""  # what a default of 0 or an empty text stands for


class Option(NamedTuple):
    """One field, as the command line, the file and the reference see it."""

    name: str
    type: Any
    about: About
    default: Any  # dataclasses.MISSING: must be given

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def required(self) -> bool:
        """Whether the edge cannot start without it."""
        return self.default is dataclasses.MISSING

    @property
    def form(self) -> str:
        """How a value is written: SIZE, SECONDS, a choice."""
        return self.about.form or "|".join(get_args(self.type)) or _FORMS[self.about.unit]

    @property
    def default_text(self) -> str:
        """The default as it would be written; empty where there is none."""
        if self.required:
            return ""
        return f"{self.default:g}" if self.about.unit == "s" else text_of(self.default, self.about.unit)

    @property
    def sentence(self) -> str:
        """Help with the range."""
        about = self.about
        if not about.high:
            return about.help
        high = text_of(about.high, about.unit)
        if not about.low:
            return f"{about.help} At most {high}."
        return f"{about.help} From {text_of(about.low, about.unit)} to {high}."


def text_of(value: float, unit: Unit) -> str:
    """A value as it would be written."""
    return f"{value:g} s" if unit == "s" else format_size(int(value)) if unit == "bytes" else str(value)
