"""One option of a program: what an operator must know of it, and how its values are written and read.

The command line, the file, the environment, `--help` and the reference are all made from a table of these.
"""

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, get_args, get_type_hints

from vmimage.durations import format_duration, is_percent, parse_duration, parse_percent
from vmimage.sizes import exact_size, format_size, parse_size

Unit = Literal["", "bytes", "s"]
_FORMS: Final[Mapping[Unit, str]] = {"bytes": "SIZE", "s": "DURATION", "": "COUNT"}
_SWITCH: Final = ("on", "off")  # what true and false of a file stand for


class About(NamedTuple):
    """What an operator must know of a field. Without a range (`high` 0) any value of its type will do."""

    help: str
    unit: Unit = ""
    low: float = 0
    high: float = 0
    form: str = ""  # how a value is written, where its type and unit do not say so
    unset: str = ""  # what a default of 0 or an empty text stands for
    # A text with commas that a file may have as a list, or as a table too; or one with blanks (words), which a file may
    # have as a list, and the command line several times.
    many: Literal["", "list", "table", "words"] = ""
    share_of: str = ""  # the option that a percentage is of


class Share(NamedTuple):
    """A value that was said as a share of another option's."""

    of: str
    part: Decimal


class Option(NamedTuple):
    """One field, as the command line, the file, the environment and the reference see it."""

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
        """Whether the program cannot start without it."""
        return self.default is dataclasses.MISSING

    @property
    def form(self) -> str:
        """How a value is written: SIZE, DURATION, a choice."""
        known = self.about.form or "|".join(get_args(self.type)) or _FORMS[self.about.unit]
        return f"{known}|PERCENT" if self.about.share_of else known

    @property
    def default_text(self) -> str:
        """The default as it would be written; empty where there is none."""
        return "" if self.required else text_of(self.default, self.about.unit)

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

    def read(self, value: object) -> Any:
        """A value as it was said to the field's type; a `Share` for a percentage.

        :param value: text, or what a TOML file holds.
        :raises ValueError: another form, or out of range. RuntimeError: ~ of a user without a home.
        """
        plain = self._plain(value)
        if choices := get_args(self.type):
            if plain not in choices:
                raise ValueError(f"{' or '.join((', '.join(choices[:-1]), choices[-1]))} expected, got {plain!r}")
            return plain
        if self.type is str:
            return str(plain)
        if self.type not in (int, float):
            made = self.type(str(plain))
            return made.expanduser() if hasattr(made, "expanduser") else made
        if self.about.share_of and isinstance(plain, str) and is_percent(plain):
            return Share(self.about.share_of, parse_percent(plain))
        return self.within(self._number(plain), value)

    def within(self, number: float, said: object) -> float:
        """A number that is in its range.

        :param said: what it was said as. :raises ValueError: it is not.
        """
        about = self.about
        if not about.low <= number <= about.high:
            low, high = text_of(about.low, about.unit), text_of(about.high, about.unit)
            raise ValueError(f"{low} to {high} expected, got {said}")
        return number

    def _plain(self, value: object) -> str | int | float:
        """One text or number; lists and tables as the text that the command line would have."""
        if isinstance(value, bool) and get_args(self.type) == _SWITCH:
            return "on" if value else "off"
        if isinstance(value, list) and self.about.many:
            between = " " if self.about.many == "words" else ","
            return between.join(_item(each, between) for each in value)
        if isinstance(value, dict) and self.about.many == "table":
            return ",".join(f"{_item(name, ',=')}={_item(each, ',=')}" for name, each in value.items())
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            more = f", or a {'list' if self.about.many == 'words' else self.about.many}," if self.about.many else ""
            raise ValueError(f"a number or text{more} expected, got {_TOML_TYPES.get(type(value), 'something else')}")
        return value

    def _number(self, value: str | int | float) -> float:
        if not isinstance(value, str):
            if self.type is int and isinstance(value, float):
                raise ValueError(f"a whole number expected, got {value}")
            return value
        if self.about.unit == "bytes":
            return parse_size(value)
        if self.about.unit == "s":
            return parse_duration(value)
        try:
            return int(value) if self.type is int else float(value)
        except ValueError:
            raise ValueError(f"a {'whole ' if self.type is int else ''}number expected, got {value!r}") from None


_TOML_TYPES: Final = {bool: "true or false", list: "a list", dict: "a table"}


def _item(value: object, apart: str) -> str:
    """One entry of a list or table. :param apart: the characters that part entries in the text of all."""
    if isinstance(value, bool) or not isinstance(value, str | int) or set(str(value)) & set(apart):
        none = " and ".join(apart).strip() or "blanks"
        raise ValueError(f"texts and numbers without {none} expected in it, got {value!r}")
    return str(value)


def options_of(fields: type) -> tuple[Option, ...]:
    """The options that the fields of a dataclass are: each is Annotated with its type and an `About`."""
    hints = get_type_hints(fields, include_extras=True)
    typed = [(field, get_args(hints[field.name])) for field in dataclasses.fields(fields)]
    return tuple(Option(field.name, type_, about, field.default) for field, (type_, about) in typed)


def text_of(value: float, unit: Unit) -> str:
    """A value as it would be written, for people: a size is rounded down."""
    return format_duration(value) if unit == "s" else format_size(int(value)) if unit == "bytes" else str(value)


def exact_text(value: Any, unit: Unit) -> str:
    """A value as it would be written, exactly."""
    return exact_size(value) if unit == "bytes" else text_of(value, unit)
