"""Events, heart-beats and memberships: is what was signed taken as it is, and nothing else?"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Timestamp

from vmimage.canonical import canonical_json
from vmimage.errors import FormatError, VerificationError
from vmimage.feed import EVENT_MAX, Event, Mark, fields_of, mark_of, parse_event, sign_event
from vmimage.heartbeat import HEARTBEAT_MAX, Heartbeat, parse_heartbeat
from vmimage.membership import WEIGHT_MAX, Member, Membership, parse_membership, sign_membership
from vmimage.online import sign_document
from vmimage.purges import Purge, parse_purges
from vmimage.trust import KEY_ROLES, initial_metadata

SIGNERS = {role: CryptoSigner.generate_ed25519() for role in KEY_ROLES}
ROOT = Metadata[Root].from_bytes(initial_metadata(SIGNERS, datetime.now(UTC))["1.root.json"]).signed
ORIGIN = "0123456789abcdef" * 2
PURGE = Purge("uri", "shop", "https://shop.example/cart?a=1", True)
EVENT = Event(ORIGIN, 7, "purge", {"purges": [PURGE.to_json()]}, 1_700_000_000_000)
BEAT = Heartbeat(edge="edge-1", pop="fra", version="0.1.0", tiers={"resident": 3}, measured={"shop": [1, 2.5]})
MEMBER = Member("edge-1", "fra", "10.0.0.1:9443", "ab" * 32, 12.5, 3, 1 << 30, 1_700_000_000_000)


def test_an_event_is_what_was_signed() -> None:
    data = sign_event(EVENT, SIGNERS["snapshot"])
    assert parse_event(data, ROOT) == EVENT
    assert parse_event(data, ROOT).purges == (PURGE,)


@pytest.mark.parametrize("role", [role for role in KEY_ROLES if role != "snapshot"])
def test_no_other_key_signs_events(role: str) -> None:
    with pytest.raises(VerificationError, match="feed-event"):
        parse_event(sign_event(EVENT, SIGNERS[role]), ROOT)


def changed(data: bytes, **fields: Any) -> bytes:
    outer = json.loads(data)
    outer["signed"] |= fields
    return canonical_json(outer)


@pytest.mark.parametrize("fields", [{"seq": 8}, {"kind": "catalogue"}, {"at_ms": 1}, {"origin": "f" * 32}], ids=str)
def test_what_is_changed_after_it_was_signed_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(VerificationError):
        parse_event(changed(sign_event(EVENT, SIGNERS["snapshot"]), **fields), ROOT)


def test_a_document_has_one_spelling() -> None:
    data = sign_event(EVENT, SIGNERS["snapshot"])
    with pytest.raises(FormatError, match="canonical JSON expected"):
        parse_event(data.replace(b'"seq":7', b'"seq": 7'), ROOT)
    with pytest.raises(FormatError, match=f"at most {EVENT_MAX} bytes"):
        parse_event(data + b" " * EVENT_MAX, ROOT)


def test_a_document_of_one_kind_is_none_of_another() -> None:
    membership = sign_membership(Membership(ORIGIN, "fra", 1, ()), SIGNERS["snapshot"])
    with pytest.raises(FormatError, match="_type"):
        parse_event(membership, ROOT)


@pytest.mark.parametrize(
    "event",
    [
        replace(EVENT, seq=0),
        replace(EVENT, origin="x"),
        replace(EVENT, kind="No Kind"),
        replace(EVENT, kind="x" * 33),
        replace(EVENT, body={"purges": []}),
        replace(EVENT, body={"purges": [PURGE.to_json()] * 65}),
        replace(EVENT, kind="catalogue", body={"snapshot": "1"}),
        replace(EVENT, kind="hold", body={"what": ["service Not A Name"]}),
        replace(EVENT, kind="hold", body={"what": []}),
        replace(EVENT, kind="release", body={"x": "y" * EVENT_MAX}),
    ],
    ids=lambda event: f"{event.kind} {event.seq} {event.origin[:1]} {len(str(event.body))}",
)
def test_what_is_no_event_is_neither_signed_nor_taken(event: Event) -> None:
    with pytest.raises(FormatError):
        sign_event(event, SIGNERS["snapshot"])
    fields = {name: getattr(event, name) for name in Event.__slots__ if name != "vital"}
    with pytest.raises(FormatError):
        parse_event(sign_document("feed-event", fields, SIGNERS["snapshot"]), ROOT)


@pytest.mark.parametrize("vital", [False, True])
def test_an_event_of_a_kind_that_is_not_known_is_one_and_says_whether_it_is_vital(vital: bool) -> None:
    event = replace(EVENT, kind="shut-down", body={"whatever": [1, {}]}, vital=vital)
    data = sign_event(event, SIGNERS["snapshot"])
    assert parse_event(data, ROOT) == event
    assert not event.is_known
    assert EVENT.is_known
    assert (b"vital" in data) == vital


@pytest.mark.parametrize("said", [False, 1, "true", None])
def test_what_is_vital_has_one_spelling(said: object) -> None:
    fields = {name: getattr(EVENT, name) for name in Event.__slots__} | {"vital": said}
    with pytest.raises(FormatError):
        parse_event(sign_document("feed-event", fields, SIGNERS["snapshot"]), ROOT)


def test_a_body_that_is_nested_deeply_is_refused() -> None:
    deep = b'{"signatures":[],"signed":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}"
    with pytest.raises(FormatError):
        parse_event(deep, ROOT)


@pytest.mark.parametrize(
    "purge",
    [
        Purge("all", "shop"),
        Purge("service"),
        Purge("service", "shop", "x"),
        Purge("uri", "", "shop.example/a b"),
        Purge("uri", "", "/only/a/path"),
        Purge("uri", "", "ftp://shop.example/"),
        Purge("tag", "", ""),
        Purge("prefix", "", "a" * 3000),
    ],
    ids=lambda purge: f"{purge.kind} {purge.service} {purge.selector[:20]}",
)
def test_a_purge_that_can_mean_nothing_is_refused(purge: Purge) -> None:
    with pytest.raises(FormatError):
        parse_purges([purge.to_json()])


def test_a_timestamp_says_where_the_feed_stands() -> None:
    mark = Mark(ORIGIN, 12)
    timestamp = Timestamp(unrecognized_fields=fields_of(mark))
    again = Metadata[Timestamp].from_bytes(Metadata(timestamp).to_bytes()).signed
    assert mark_of(again) == mark
    assert mark_of(Timestamp()) is None
    with pytest.raises(FormatError):
        mark_of(Timestamp(unrecognized_fields=fields_of(mark) | {"feed_seq": -1}))


def test_a_heartbeat_is_what_was_said() -> None:
    assert parse_heartbeat(BEAT.to_bytes()) == BEAT


@pytest.mark.parametrize(
    "fields",
    [
        {"edge": "../x"},
        {"pop": ""},
        {"version": "1\n2"},
        {"peer": "10.0.0.1:1"},
        {"peer": "10.0.0.1:70000", "peer_sha256": "ab" * 32},
        {"applied": -2},
        {"machines": True},
        {"requests_s": 1e300},
        {"tiers": {str(number): 1 for number in range(17)}},
        {"measured": {"x": "y" * (16 << 10)}},
        {"unknown": 1},
    ],
    ids=lambda fields: ",".join(f"{name}={str(value)[:20]}" for name, value in fields.items()),
)
def test_a_heartbeat_that_is_none_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        parse_heartbeat(canonical_json(json.loads(BEAT.to_bytes()) | fields))


def test_a_heartbeat_is_bounded() -> None:
    with pytest.raises(FormatError, match="at most"):
        parse_heartbeat(BEAT.to_bytes() + b" " * HEARTBEAT_MAX)


def test_a_membership_is_what_was_signed() -> None:
    members = (MEMBER, replace(MEMBER, id="edge-2", peer="", sha256=""), replace(MEMBER, id="edge-3", weight=2.5))
    membership = Membership(ORIGIN, "fra", 5, members)
    signed = sign_membership(membership, SIGNERS["snapshot"])
    assert parse_membership(signed, ROOT) == membership
    assert signed.count(b"weight") == 1, "edges of before weights read the list as long as there are none"
    with pytest.raises(VerificationError):
        parse_membership(sign_membership(membership, SIGNERS["timestamp"]), ROOT)


@pytest.mark.parametrize(
    "members",
    [
        (MEMBER, MEMBER),
        (replace(MEMBER, pop="ams"),),
        (replace(MEMBER, sha256=""),),
        (replace(MEMBER, peer="nowhere"),),
        (replace(MEMBER, weight=0.0),),
        (replace(MEMBER, weight=WEIGHT_MAX + 1),),
        (replace(MEMBER, weight=float("nan")),),
        tuple(replace(MEMBER, id=f"edge-{number:04}") for number in range(1001)),
    ],
    ids=[
        "twice",
        "another POP",
        "no certificate",
        "no address",
        "no weight",
        "too heavy",
        "no number",
        "too many",
    ],
)
def test_a_membership_that_is_none_is_not_signed(members: tuple[Member, ...]) -> None:
    with pytest.raises(FormatError):
        sign_membership(Membership(ORIGIN, "fra", 5, members), SIGNERS["snapshot"])
