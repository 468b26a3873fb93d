"""Parsers of what edges of a POP say to each other, and of the list that says who they are."""

import json
from collections.abc import Sequence
from typing import Final

from edge.front import cgi
from edge.peers.members import Peer, parse_members
from edge.peers.onward import Answered, answered
from edge.peers.said import Forwarded, parse_forwarded_by_peer
from tests.property.fuzzing.parsers import Target
from tests.property.fuzzing.seeds import from_seeds
from vmimage.errors import GuestViolation

_IMAGE: Final = b"sha256:" + b"a" * 64
_SAID: Final = (
    b"1 127.0.0.1 80 - id-1 " + _IMAGE + b" -",
    b"1 2001:db8::1 443 su x.y_z " + _IMAGE + b" 123456",
    b"1 - 8080 - x " + _IMAGE + b" 0",
)
_MEMBER: Final = {"id": "zrh-1", "pop": "zrh", "peer": "10.0.0.1:8443", "sha256": "b" * 64}
_LISTS: Final = tuple(
    json.dumps({"members": members}).encode() for members in ([], [_MEMBER], [{**_MEMBER, "weight": 2.5}])
)
_ANSWERS: Final = (
    b"Content-Type: text/plain\nCache-Tag: one\nX-Nunatak-Since: 12\nCache-Status: nunatak; hit; ttl=1",
    b"Server-Timing: restore;dur=1, guest;dur=2\nSet-Cookie: a=b\nAge: 7\nRetry-After: 5",
    b"X-Nunatak-Error: unavailable\nX-Nunatak-Elsewhere: draining\nX-Nunatak-Limit: cpu_ms=1",
)


class _Nothing(Exception):
    """It says nothing."""


def _said(data: bytes) -> Forwarded:
    said = parse_forwarded_by_peer(data)
    if said is None:
        raise _Nothing
    return said


def _said_holds(_: bytes, said: Forwarded) -> bool:
    return parse_forwarded_by_peer(said.line()) == said and b"\n" not in said.line()


def _members(data: bytes) -> list[Peer]:
    return parse_members(json.loads(data))


def _answer(data: bytes) -> Answered:
    """As fields of a peer's answer, which llhttp has parted: no line of it has an end of line in it."""
    pairs = [line.partition(b": ")[::2] for line in data.split(b"\n")]
    answer = answered(200, [(name, value) for name, value in pairs if b"\0" not in name + value and name])
    cgi.answer_head(answer.block)
    return answer


def targets() -> Sequence[Target]:
    """Those of this module."""
    return (
        Target("peer-said", from_seeds(*_SAID), _said, (_Nothing,), _said_holds),
        Target("peer-members", from_seeds(*_LISTS), _members, (ValueError, RecursionError)),
        Target("peer-answer", from_seeds(*_ANSWERS), _answer, (GuestViolation,)),
    )
