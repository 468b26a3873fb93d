"""Events of an origin's feed: numbered, signed, bounded; and the last number, which stands in the signed timestamp.

    catalogue   the catalogue has changed: look now. It says nothing that is believed
    purge       kept answers are void
    hold        images, services or tenants that nothing may run of; the catalogue says so too
    release     a step of a staged release: what it says is `vmimage.release`'s business

Others may be added: who does not know an event's kind passes it over, unless the event is marked as vital, which is to
be understood by all. Then who does not know it drops what it keeps, as if it had missed the event.

Numbers of one origin go up by one. An event that was missed is found in the origin's log by its number, and the
timestamp says which number is the last (`Mark`), so no gap goes unnoticed, whoever lost the event. An origin has an
identifier beside its keys: where another store takes its place, numbers begin anew, and edges see that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, get_args

from securesystemslib.signer import Signer
from tuf.api.metadata import Root, Timestamp

from vmimage.canonical import refuse, require_integer, require_object
from vmimage.errors import FormatError
from vmimage.holds import is_hold
from vmimage.online import open_document, sign_document
from vmimage.purges import Purge, parse_purges
from vmimage.terms import COUNT_MAX

Kind = Literal["catalogue", "purge", "hold", "release"]
EVENT_MAX: Final = 64 << 10  # bytes
HELD_MAX: Final = 100  # of one event
_TYPE: Final = "feed-event"
_FIELDS: Final = {"_type", "at_ms", "body", "kind", "origin", "seq"}
_VITAL: Final = "vital"  # beside the fields, where it is so
_KIND: Final = re.compile(r"[a-z][a-z-]{0,31}", re.ASCII)
_KNOWN: Final = frozenset(get_args(Kind))
_ORIGIN: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SEQ_FIELD, _ORIGIN_FIELD = "feed_seq", "feed_origin"  # of the timestamp, beside those of TUF


@dataclass(frozen=True, slots=True)
class Event:
    """One event."""

    origin: str  # identifier of the origin's store, 32 hex digits
    seq: int  # from 1
    kind: str  # a `Kind`, or one of a newer origin
    body: Mapping[str, Any]
    at_ms: int  # milliseconds since 1970 by the origin's clock
    vital: bool = False  # who does not know its kind has missed something

    @property
    def is_known(self) -> bool:
        """Whether its kind has a meaning here."""
        return self.kind in _KNOWN

    @property
    def purges(self) -> tuple[Purge, ...]:
        """What an event of kind "purge" says."""
        return parse_purges(self.body["purges"])

    @property
    def held(self) -> tuple[str, ...]:
        """What an event of kind "hold" says, as names of `vmimage.holds`."""
        return tuple(self.body["what"])


class Mark(NamedTuple):
    """Where an origin's feed stands."""

    origin: str
    seq: int  # of the last event; 0 before the first


def is_origin_id(text: str) -> bool:
    """Whether `text` can identify an origin's store."""
    return _ORIGIN.fullmatch(text) is not None


def sign_event(event: Event, signer: Signer) -> bytes:
    """An event as it is kept and sent, signed with the snapshot key.

    :raises FormatError: no event, or one of more than EVENT_MAX bytes.
    """
    fields = {"at_ms": event.at_ms, "body": event.body, "kind": event.kind, "origin": event.origin, "seq": event.seq}
    if event.vital:
        fields[_VITAL] = True
    _parse({"_type": _TYPE, **fields})
    data = sign_document(_TYPE, fields, signer)
    if len(data) > EVENT_MAX:
        refuse("event", f"at most {EVENT_MAX} bytes", len(data))
    return data


def parse_event(data: bytes, root: Root) -> Event:
    """An event that the snapshot key has signed.

    :raises FormatError: too long, malformed, or with a body that does not fit its kind.
    :raises VerificationError: not signed by the snapshot key.
    """
    return _parse(open_document(_TYPE, data, EVENT_MAX, root))


def _parse(value: object) -> Event:
    vital = isinstance(value, dict) and value.get(_VITAL) is True
    fields = require_object("event", value, _FIELDS | {_VITAL} if vital else _FIELDS)
    origin, kind, body = fields["origin"], fields["kind"], fields["body"]
    if not isinstance(origin, str) or not is_origin_id(origin):
        refuse("event origin", "32 hex digits", origin)
    if not isinstance(kind, str) or _KIND.fullmatch(kind) is None:
        refuse("event kind", "at most 32 small letters and hyphens", kind)
    if not isinstance(body, dict):
        refuse("event body", "an object", body)
    _check_body(kind, body)
    seq = require_integer("event seq", fields["seq"], 1, COUNT_MAX)
    return Event(origin, seq, kind, body, require_integer("event at_ms", fields["at_ms"], 0, COUNT_MAX), vital)


def _check_body(kind: str, body: dict[str, Any]) -> None:
    match kind:
        case "catalogue":
            said = require_object("catalogue event", body, {"snapshot"})
            require_integer("catalogue event snapshot", said["snapshot"], 1, COUNT_MAX)
        case "purge":
            parse_purges(require_object("purge event", body, {"purges"})["purges"])
        case "hold":
            what = require_object("hold event", body, {"what"})["what"]
            named = isinstance(what, list) and 0 < len(what) <= HELD_MAX
            if not named or not all(isinstance(each, str) and is_hold(each) for each in what):
                refuse("hold event", f"1 to {HELD_MAX} images, services or tenants", what)
        case _:
            pass  # the form of a release is checked by who takes it, and that of others by who knows them


def mark_of(timestamp: Timestamp) -> Mark | None:
    """Where a verified timestamp says that the feed stands; None where its origin has none.

    :raises FormatError: something else stands there.
    """
    said = timestamp.unrecognized_fields
    if _SEQ_FIELD not in said and _ORIGIN_FIELD not in said:
        return None
    origin = said.get(_ORIGIN_FIELD)
    if not isinstance(origin, str) or not is_origin_id(origin):
        raise FormatError(f"timestamp {_ORIGIN_FIELD}: 32 hex digits expected")
    return Mark(origin, require_integer(f"timestamp {_SEQ_FIELD}", said.get(_SEQ_FIELD), 0, COUNT_MAX))


def fields_of(mark: Mark) -> dict[str, Any]:
    """What a timestamp says beside the fields of TUF, so that `mark_of` finds it."""
    return {_ORIGIN_FIELD: mark.origin, _SEQ_FIELD: mark.seq}
