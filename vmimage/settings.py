"""What is said of a program's options, by its file, its environment and its command line, and which of it counts.

A later source goes before an earlier one: `take_file`, `take_environment`, `take_line`, in this order. What somebody
else says for many such programs goes before defaults alone: `over`. Mistakes are
gathered, each with the place it was made in, and told together. Pure: files are read by the caller.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple, TypeVar

from vmimage.errors import OperatorError
from vmimage.options import Option, Share, exact_text
from vmimage.toml_file import lines_of, parse_toml

Source = Literal["default", "fleet", "file", "environment", "option"]
Problem = tuple[str, str]  # an option's name, and what is wrong with its value

_ESCAPED: Final = re.compile(r'["\\\x00-\x1f\x7f]')
_Fields = TypeVar("_Fields")


class Said(NamedTuple):
    """A value as somebody said it, and where."""

    value: object
    source: Source
    place: str  # as a message names it: "edge.toml:3: memory", "NUNATAK_EDGE_MEMORY", "--memory"


class Settings:
    """Those of one program."""

    def __init__(self, options: Sequence[Option], gone: Mapping[str, str] = {}) -> None:
        """:param gone: other names that somebody may give, and what is to be said of each."""
        self._options, self._gone = {option.name: option for option in options}, gone
        self._said: dict[str, Said] = {}
        self._problems: list[str] = []

    # Sources, the weakest first.

    def take_file(self, name: str, data: bytes) -> None:
        """A TOML file: `trusted-proxies` and `trusted_proxies` are one key."""
        try:
            values = parse_toml(name, data)
        except ValueError as error:
            self._problems.append(str(error))
            return
        lines = lines_of(data.decode())
        taken: dict[str, str] = {}
        for key, value in values.items():
            place, option = f"{name}:{lines.get(key, 1)}: {key}", key.replace("-", "_")
            if option in taken:
                self._problems.append(f"{place}: one spelling expected, {taken[option]} is given too")
            elif self._knows(option, place, key):
                self._said[option] = Said(value, "file", place)
            taken[option] = key

    def take_environment(self, prefix: str, environment: Mapping[str, str], others: Collection[str] = ()) -> None:
        """Variables whose names begin with `prefix`; an empty one counts as not set.

        :param others: names after the prefix that are no options, and known to others.
        """
        linked = any(re.fullmatch(re.escape(prefix) + "(?:SERVICE_)?PORT(?:_.*)?", name) for name in environment)
        for name, text in environment.items():
            option = name.removeprefix(prefix).lower()
            if not name.startswith(prefix) or not text or option.upper() in others:
                continue
            if linked:
                self._problems.append(
                    f"{name}: no variables of Kubernetes' service links expected among {prefix}*, which would be "
                    "taken for options: set enableServiceLinks to false, or give the Service another name"
                )
                return
            if self._knows(option, name, name.removeprefix(prefix)):
                self._said[option] = Said(text, "environment", name)

    def take_line(self, given: Mapping[str, str]) -> None:
        """Options of the command line, by name."""
        for name, text in given.items():
            flag = "--" + name.replace("_", "-")
            if self._knows(name, flag, name):
                self._said[name] = Said(text, "option", flag)

    def _knows(self, name: str, place: str, key: str) -> bool:
        if name in self._options:
            return True
        if name in self._gone:
            self._problems.append(f"{place}: {self._gone[name]}")
            return False
        near = get_close_matches(name, self._options, 1)
        hint = f"did you mean {near[0].upper() if key.isupper() else near[0]}?" if near else "see --help"
        self._problems.append(f"{place}: no option of this name: {hint}")
        return False

    # What counts.

    def over(self, values: Mapping[str, str], whose: str) -> "Settings":
        """The same with other values for options of which nobody has said anything.

        :param values: text by option. :param whose: they are, as messages have it.
        """
        made = Settings(tuple(self._options.values()), self._gone)
        made._said, made._problems = dict(self._said), list(self._problems)
        for name, text in values.items():
            place = f"{whose}: {name}"
            if made._knows(name, place, name):
                made._said.setdefault(name, Said(text, "fleet", place))
        return made

    def texts(self) -> dict[str, str]:
        """What was said, as the command line would have it, by option.

        :raises OperatorError: a line for each mistake.
        """
        values = self._values()
        self._end_with_problems()
        return {name: _text(self._options[name], value) for name, value in values.items()}

    def said(self, name: str) -> Said:
        """Who said last what an option is; its default if nobody did."""
        return self._said.get(name) or Said(self._options[name].default, "default", name)

    def make(self, fields: Callable[..., _Fields], check: Callable[[_Fields], Iterable[Problem]]) -> _Fields:
        """The checked value of all options.

        :param check: what no option can say for itself.
        :raises OperatorError: a line for each mistake.
        """
        values = self._values()
        missing = [each.flag for each in self._options.values() if each.required and each.name not in self._said]
        if missing and not self._problems:  # else it may be what was misspelt
            self._problems.append(f"{', '.join(missing)} must be given")
        self._end_with_problems()
        made = fields(**values)
        self._problems += [f"{self.said(name).place}: {problem}" for name, problem in check(made)]
        self._end_with_problems()
        return made

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        shares: dict[str, Share] = {}
        for name, said in self._said.items():
            try:
                value = self._options[name].read(said.value)
            except (ValueError, RuntimeError) as error:  # RuntimeError: ~ of a user without a home
                self._problems.append(f"{said.place}: {error}")
                continue
            (shares if isinstance(value, Share) else values)[name] = value
        for name, share in shares.items():
            whole = values.get(share.of, self._options[share.of].default)
            values[name] = int(whole * share.part)
        return values

    def _end_with_problems(self) -> None:
        if self._problems:
            raise OperatorError("\n".join(self._problems))

    def shown(self, made: object, name: str) -> tuple[str, str]:
        """An option's value as text, and who said it.

        :param made: what `make` gave.
        """
        option = self._options[name]
        return _text(option, getattr(made, name)), self._where(name)

    def to_toml(self, made: object) -> str:
        """All options as a file that says the same, with a word on where each comes from.

        :param made: what `make` gave.
        """
        return "".join(self._line(option, getattr(made, option.name)) for option in self._options.values())

    def _where(self, name: str) -> str:
        said = self.said(name)
        return "default" if said.source == "default" else said.place.rpartition(": ")[0] or said.place

    def _line(self, option: Option, value: Any) -> str:
        where = self._where(option.name)
        stands_for = f", {option.about.unset}" if not value and option.about.unset else ""
        bare = option.type is int and not option.about.unit
        text = _text(option, value) if bare else _quoted(_text(option, value))
        return f"{option.name} = {text}  # {where}{stands_for}\n"


def _text(option: Option, value: Any) -> str:
    return exact_text(value, option.about.unit)


def _quoted(text: str) -> str:
    """A basic string (TOML 1.0)."""
    return '"' + _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + '"'
