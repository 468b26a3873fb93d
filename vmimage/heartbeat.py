"""What an edge says of itself to its origin, every few seconds: one bounded JSON object, strictly parsed.

It is believed as far as the edge's own token goes: of this edge, and of nobody else.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vmimage.canonical import canonical_json, is_name, load_json, refuse, require_integer, require_object
from vmimage.terms import COUNT_MAX

HEARTBEAT_MAX: Final = 32 << 10  # bytes
MEASURED_MAX: Final = 16 << 10  # bytes of `measured` as JSON
TIERS_MAX: Final = 16
EVERY_S: Final = 5.0  # between two heart-beats, with jitter
TTL_S: Final = 15.0  # after which an edge that was not heard of counts as gone

_VERSION: Final = re.compile(r"[!-~]{1,64}", re.ASCII)
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RATE_MAX: Final = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One heart-beat."""

    edge: str  # its name, which its token has
    pop: str  # where it is; edges of one POP are peers
    version: str  # of the program
    peer: str = ""  # HOST:PORT of its listener for peers; "": it has none
    peer_sha256: str = ""  # of that listener's certificate (DER), 64 hex digits
    requests_s: float = 0.0  # requests in a second, lately
    machines: int = 0  # in workers
    free_bytes: int = 0  # of the memory for machines
    tiers: Mapping[str, int] = field(default_factory=dict)  # answers since it started, by where the machine came from
    certificate_s: int = -1  # until the first of its certificates ends; -1: it has none
    catalogue_s: float = -1.0  # since its last look at the catalogue that succeeded; -1: there was none
    applied: int = -1  # the feed's number that it has applied; -1: it knows of none
    measured: Mapping[str, Any] = field(default_factory=dict)  # of releases under way; open, and bounded

    def to_bytes(self) -> bytes:
        """Its form on the wire."""
        return canonical_json({name: _plain(getattr(self, name)) for name in self.__slots__})


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def parse_heartbeat(data: bytes) -> Heartbeat:
    """What an edge says.

    :raises FormatError: too long, malformed, or out of range.
    """
    fields = require_object("heartbeat", load_json("heartbeat", data, HEARTBEAT_MAX), set(Heartbeat.__slots__))
    for name in ("edge", "pop"):
        if not isinstance(fields[name], str) or not is_name(fields[name]):
            refuse(f"heartbeat {name}", "1 to 63 of a-z 0-9 . _ -", fields[name])
    _require_text(fields, "version", _VERSION, empty=False)
    _require_text(fields, "peer", _ADDRESS)
    _require_text(fields, "peer_sha256", _SHA256)
    if bool(fields["peer"]) != bool(fields["peer_sha256"]) or int(fields["peer"].rpartition(":")[2] or 0) > 65535:
        refuse("heartbeat peer", "HOST:PORT with the SHA-256 of its certificate, or neither", fields["peer"])
    for name, low in (("machines", 0), ("free_bytes", 0), ("certificate_s", -1), ("applied", -1)):
        require_integer(f"heartbeat {name}", fields[name], low, COUNT_MAX)
    _require_number(fields, "requests_s", 0)
    _require_number(fields, "catalogue_s", -1)
    tiers = fields["tiers"]
    if not isinstance(tiers, dict) or len(tiers) > TIERS_MAX or not all(map(is_name, tiers)):
        refuse("heartbeat tiers", f"at most {TIERS_MAX} tiers", tiers)
    for name, count in tiers.items():
        require_integer(f"heartbeat tier {name}", count, 0, COUNT_MAX)
    measured = fields["measured"]
    if not isinstance(measured, dict) or len(json.dumps(measured)) > MEASURED_MAX:
        refuse("heartbeat measured", f"an object of at most {MEASURED_MAX} bytes", measured)
    return Heartbeat(**fields)


def _require_text(fields: Mapping[str, Any], name: str, form: re.Pattern[str], *, empty: bool = True) -> None:
    value = fields[name]
    if not isinstance(value, str) or not ((empty and not value) or form.fullmatch(value)):
        refuse(f"heartbeat {name}", f"text of the form {form.pattern}", value)


def _require_number(fields: Mapping[str, Any], name: str, low: float) -> None:
    value = fields[name]
    if type(value) not in (int, float) or not low <= value <= _RATE_MAX:
        refuse(f"heartbeat {name}", f"a number from {low} to {_RATE_MAX:g}", value)
