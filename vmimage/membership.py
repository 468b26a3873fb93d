"""The edges of a POP as their origin has heard of them lately, signed with its snapshot key: who is a peer of whom.

A thief of that key can name false peers: what comes from one is verified as what comes from the origin is, and requests
are forwarded to peers only where the operator has said so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from securesystemslib.signer import Signer
from tuf.api.metadata import Root

from vmimage.canonical import is_name, refuse, require_integer, require_object
from vmimage.feed import is_origin_id
from vmimage.online import open_document, sign_document
from vmimage.terms import COUNT_MAX

MEMBERS_MAX: Final = 1000  # of one POP
MEMBERSHIP_MAX: Final = 512 << 10  # bytes
WEIGHT_MAX: Final = 1000.0
_TYPE: Final = "membership"
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Member:
    """One edge."""

    id: str  # its name
    pop: str
    peer: str  # HOST:PORT of its listener for peers; "": it has none
    sha256: str  # of that listener's certificate (DER), 64 hex digits; "" with no listener
    requests_s: float  # requests in a second, lately
    machines: int  # in workers
    free_bytes: int  # of the memory for machines
    seen_ms: int  # when it was heard of last, milliseconds since 1970 by the origin's clock
    weight: float = 1.0  # of the POP's keys it has a share by this; said only where it is another than 1


@dataclass(frozen=True, slots=True)
class Membership:
    """The live edges of a POP, by name."""

    origin: str  # identifier of the origin's store, as events have it
    pop: str
    at_ms: int  # when it was signed, milliseconds since 1970 by the origin's clock
    members: tuple[Member, ...]


def sign_membership(membership: Membership, signer: Signer) -> bytes:
    """The document, signed with the snapshot key.

    :raises FormatError: too many members, or something of one that is malformed.
    """
    fields = {
        "at_ms": membership.at_ms,
        "members": list(map(_fields, membership.members)),
        "origin": membership.origin,
        "pop": membership.pop,
    }
    _parse({"_type": _TYPE, **fields})
    return sign_document(_TYPE, fields, signer)


def _fields(member: Member) -> dict[str, Any]:
    fields = {name: getattr(member, name) for name in Member.__slots__}
    if member.weight == 1:
        del fields["weight"]
    return fields


def parse_membership(data: bytes, root: Root) -> Membership:
    """What the document says. How old it may be is its reader's to say.

    :raises FormatError: too long or malformed.
    :raises VerificationError: not signed by the snapshot key.
    """
    return _parse(open_document(_TYPE, data, MEMBERSHIP_MAX, root))


def _parse(value: object) -> Membership:
    fields = require_object("membership", value, {"_type", "at_ms", "members", "origin", "pop"})
    origin, listed, pop = fields["origin"], fields["members"], _name("pop", fields["pop"])
    if not isinstance(origin, str) or not is_origin_id(origin):
        refuse("membership origin", "32 hex digits", origin)
    if not isinstance(listed, list) or len(listed) > MEMBERS_MAX:
        refuse("membership", f"at most {MEMBERS_MAX} members", listed)
    members = tuple(_member(entry, pop) for entry in listed)
    if [each.id for each in members] != sorted({each.id for each in members}):
        refuse("membership", "each member once, by name", [each.id for each in members])
    return Membership(origin, pop, require_integer("membership at_ms", fields["at_ms"], 0, COUNT_MAX), members)


def _member(value: object, pop: str) -> Member:
    said = {"weight": 1.0, **value} if isinstance(value, dict) else value
    fields = require_object("member", said, set(Member.__slots__))
    _name("id", fields["id"])
    if fields["pop"] != pop:
        refuse("member pop", pop, fields["pop"])
    for name, form in (("peer", _ADDRESS), ("sha256", _SHA256)):
        text = fields[name]
        if not isinstance(text, str) or (text and form.fullmatch(text) is None):
            refuse(f"member {name}", f"text of the form {form.pattern}", text)
    if bool(fields["peer"]) != bool(fields["sha256"]):
        refuse("member peer", "an address with the SHA-256 of its certificate, or neither", fields["peer"])
    for name in ("machines", "free_bytes", "seen_ms"):
        require_integer(f"member {name}", fields[name], 0, COUNT_MAX)
    if type(fields["requests_s"]) not in (int, float) or not 0 <= fields["requests_s"] <= 1e9:
        refuse("member requests_s", "a rate", fields["requests_s"])
    if not is_weight(fields["weight"]):
        refuse("member weight", f"a number above 0 and at most {WEIGHT_MAX:g}", fields["weight"])
    return _made(fields)


def is_weight(value: object) -> bool:
    """Whether a value, as JSON has it, is the weight of a member."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= WEIGHT_MAX


def _made(fields: Mapping[str, Any]) -> Member:
    return Member(**{name: fields[name] for name in Member.__slots__})


def _name(what: str, value: object) -> str:
    if not isinstance(value, str) or not is_name(value):
        refuse(f"membership {what}", "1 to 63 of a-z 0-9 . _ -", value)
    return value
