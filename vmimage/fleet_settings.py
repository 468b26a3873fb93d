"""Fleet settings: options that the operator signs for all edges, a candidate of them for a part of the edges first.

They stand in the entry "holds" beside "custom", as pins do: one signature of the operator covers what edges must not
run and what they are to go by, every edge reads that entry before all others, and an edge of an earlier version does
not look there. Values are text, as an operator writes them; which options there may be, and what a value may be, each
edge says for itself (`edge.config.fleet_settings`).

    "settings": {"last": 8, "stable": {"number": 7, "since": TIME, "values": {"max_body": "16MiB"}},
                 "candidate": {"number": 8, "since": TIME, "values": {...}, "share": 2500, "pops": [], "gates": {...}}}

"stable" and "candidate" may be null; gates are those of `vmimage.release`. Nothing here reads a clock or a file.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from vmimage.canonical import is_name, refuse, require_integer, require_object
from vmimage.errors import FormatError
from vmimage.release import ALL, POPS_MAX, SHARE_MIN, Gates, is_time, parse_gates, place_of
from vmimage.terms import COUNT_MAX

VALUES_MAX: Final = 32
VALUE_MAX: Final = 4096  # characters: some 200 tenants with weights
TEXT_MAX: Final = 16 << 10  # characters of all values together
CAUSE_MAX: Final = 120  # characters

_OPTION: Final = re.compile(r"[a-z](?:[a-z_]{0,62}[a-z])?", re.ASCII)
_CAUSE: Final = re.compile(rf"[a-z_]{{1,{CAUSE_MAX}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the fleet settings. The one with number 0 is signed nowhere: it sets nothing."""

    number: int = 0
    since: str = ""  # when it was signed first, "YYYY-MM-DDTHH:MM:SSZ"
    values: Mapping[str, str] = field(default_factory=dict)  # by option

    @property
    def name(self) -> str:
        """What it is remembered by; "" for the one that is signed nowhere."""
        return f"{self.number}@{self.since}" if self.number else ""


NOTHING: Final = Version()


@dataclass(frozen=True, slots=True)
class Staged:
    """A candidate: a version that a part of the edges goes by, for as long as it keeps its gates there."""

    version: Version
    share: int  # of the edges, in hundredths of a percent
    pops: tuple[str, ...] = ()  # where; none: everywhere
    gates: Gates = field(default_factory=Gates)

    def takes(self, edge: str, pop: str) -> bool:
        """Whether an edge takes part. To widen only adds edges; one without a name takes part when all do.

        :param edge: its name, "" for none. :param pop: where it is.
        """
        if self.pops and pop not in self.pops:
            return False
        if self.share >= ALL:
            return True
        return bool(edge) and place_of(b"", "settings", self.version.name, edge.encode()) < self.share


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What is signed."""

    last: int = 0  # the highest number that was given: none is given twice
    stable: Version = NOTHING
    candidate: Staged | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """What an origin's event says: a candidate that no edge is to go by any more."""

    name: str  # of the version
    cause: str

    def to_json(self) -> dict[str, str]:
        """As an event of kind "release" has it."""
        return {"settings": self.name, "cause": self.cause}


def settings_value(settings: FleetSettings) -> dict[str, Any]:
    """The settings as they are signed."""
    staged = settings.candidate
    candidate = None
    if staged is not None:
        about = {"share": staged.share, "pops": list(staged.pops), "gates": asdict(staged.gates)}
        candidate = {**_version_value(staged.version), **about}
    stable = _version_value(settings.stable) if settings.stable.number else None
    return {"last": settings.last, "stable": stable, "candidate": candidate}


def _version_value(version: Version) -> dict[str, Any]:
    return {"number": version.number, "since": version.since, "values": dict(version.values)}


def parse_settings(value: object) -> FleetSettings:
    """What is signed; None is what edges have where nothing is.

    :raises FormatError: malformed, or beyond a bound.
    """
    if value is None:
        return FleetSettings()
    fields = require_object("fleet settings", value, {"candidate", "last", "stable"})
    last = require_integer("fleet settings last", fields["last"], 1, COUNT_MAX)
    stable = NOTHING if fields["stable"] is None else parse_version("stable settings", fields["stable"])
    candidate = None if fields["candidate"] is None else _staged(fields["candidate"])
    if stable.number > last or (candidate is not None and not stable.number < candidate.version.number <= last):
        refuse("fleet settings", "numbers up to the last one, the candidate's above the stable one's", last)
    return FleetSettings(last, stable, candidate)


def _staged(value: object) -> Staged:
    what, own = "candidate settings", {"gates", "pops", "share"}
    fields = require_object(what, value, own | {"number", "since", "values"})
    pops = fields["pops"]
    if not isinstance(pops, list) or len(pops) > POPS_MAX or not all(isinstance(p, str) and is_name(p) for p in pops):
        refuse(f"{what} pops", f"at most {POPS_MAX} names", pops)
    version = parse_version(what, {name: said for name, said in fields.items() if name not in own})
    share = require_integer(f"{what} share", fields["share"], SHARE_MIN, ALL)
    return Staged(version, share, tuple(pops), parse_gates(fields["gates"]))


def parse_version(what: str, value: object) -> Version:
    """One version.

    :param what: it is called in messages. :raises FormatError: malformed, or beyond a bound.
    """
    fields = require_object(what, value, {"number", "since", "values"})
    number, since = require_integer(f"{what} number", fields["number"], 1, COUNT_MAX), fields["since"]
    if not isinstance(since, str) or not is_time(since):
        refuse(f"{what} since", "a time such as 2026-01-31T10:00:00Z", since)
    return Version(number, since, parse_values(what, fields["values"]))


def parse_values(what: str, values: object) -> dict[str, str]:
    """Values of options, of which only the form is checked here.

    :raises FormatError: malformed, or beyond a bound.
    """
    if not isinstance(values, dict) or len(values) > VALUES_MAX:
        refuse(f"{what} values", f"at most {VALUES_MAX} options", values)
    for option, text in values.items():
        if not isinstance(option, str) or _OPTION.fullmatch(option) is None:
            refuse(f"{what} values", "names of options", option)
        if not isinstance(text, str) or len(text) > VALUE_MAX or not text.isascii() or not (text + " ").isprintable():
            refuse(f"{what} {option}", f"at most {VALUE_MAX} printable ASCII characters", text)
    if sum(map(len, values.values())) > TEXT_MAX:
        refuse(f"{what} values", f"at most {TEXT_MAX} characters in all", sum(map(len, values.values())))
    return dict(values)


def is_version_name(text: object) -> bool:
    """Whether it is what a version is remembered by."""
    if not isinstance(text, str):
        return False
    number, _, since = text.partition("@")
    return number.isascii() and number.isdigit() and 0 < len(number) <= 20 and is_time(since)


def is_stop(body: object) -> bool:
    """Whether an event of kind "release" is about settings, and not about a service."""
    return isinstance(body, dict) and "settings" in body


def parse_stop(value: object) -> Stop:
    """The body of such an event.

    :raises FormatError: malformed.
    """
    fields = require_object("stop of fleet settings", value, {"cause", "settings"})
    name, cause = fields["settings"], fields["cause"]
    if not is_version_name(name) or not isinstance(cause, str) or _CAUSE.fullmatch(cause) is None:
        raise FormatError("stop of fleet settings: a version and a cause expected")
    return Stop(name, cause)
