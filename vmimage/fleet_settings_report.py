"""What an edge tells its origin of the fleet settings: which it goes by, and what it saw of a candidate. Plain data.

It stands in an edge's heart-beat under "settings":

    {"number": 7, "state": "back", "tried": NAME, "cause": CAUSE, "before": COUNTS, "after": COUNTS}

An edge may lie in it; `origin.model.release_sums` says how much one edge's word can do.
"""

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

from vmimage.canonical import refuse, require_integer, require_object
from vmimage.fleet_settings import CAUSE_MAX, is_version_name
from vmimage.release_report import Counts, parse_counts
from vmimage.terms import COUNT_MAX

State = Literal[
    "off",  # the edge takes up none (`fleet_settings = off`)
    "kept",  # what it goes by is what is meant for it, and has proved itself here
    "measuring",  # it measures how it is without the version that is meant for it
    "trying",  # it goes by that version, and looks how it is
    "back",  # it went back from it
    "refused",  # it cannot read, or use, what is signed
]

_CAUSE: Final = re.compile(rf"[a-z_]{{0,{CAUSE_MAX}}}", re.ASCII)
_KEYS: Final = {"after", "before", "cause", "number", "state", "tried"}


@dataclass(frozen=True, slots=True)
class SettingsReport:
    """The fleet settings on one edge."""

    number: int = 0  # of the version that it goes by; 0: of none
    state: State = "kept"
    tried: str = ""  # name of the last version that it tried, or was to try; "" for none
    cause: str = ""  # why it goes by another than that; "" where it does not
    before: Counts = field(default_factory=Counts)
    after: Counts = field(default_factory=Counts)

    def to_json(self) -> dict[str, Any]:
        """As a heart-beat has it."""
        return asdict(self)


def parse_settings_report(value: object) -> SettingsReport:
    """The report in a heart-beat.

    :raises FormatError: malformed.
    """
    fields = require_object("settings", value, _KEYS)
    number, state = require_integer("settings number", fields["number"], 0, COUNT_MAX), fields["state"]
    tried, cause = fields["tried"], fields["cause"]
    if state not in get_args(State):
        refuse("settings state", f"one of {get_args(State)}", state)
    if tried != "" and not is_version_name(tried):
        refuse("settings tried", "the name of a version, or none", tried)
    if not isinstance(cause, str) or _CAUSE.fullmatch(cause) is None:
        refuse("settings cause", "a word, or none", cause)
    return SettingsReport(number, state, tried, cause, parse_counts(fields["before"]), parse_counts(fields["after"]))
