"""A request's place in a trace: traceparent and tracestate, as W3C Trace Context (level 2) has them. Pure.

An edge takes part in a trace with a span of its own, whose parent is what the request names, if it names a valid one;
else the edge begins a trace. Whoever is asked on behalf of the request is told the edge's span as its parent.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

SAMPLED: Final = 1  # section 3.2.2.5.1: who wrote this may have recorded its span
RANDOM: Final = 2  # section 3.2.2.5.2: the right half of the trace's identifier, at least, is random
STATE_MAX: Final = 512  # bytes of tracestate that are passed on; section 3.3.1.5 asks for at least as many
MEMBERS_MAX: Final = 32  # section 3.3.1.1
LONG_MEMBER: Final = 128  # bytes of a member of tracestate, beyond which it goes first
ALL: Final = 1 << 64  # as many spans' identifiers as there are: the bound that samples each

_new = tuple.__new__  # what a NamedTuple's own constructor calls, in half of its time
_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_KEY: Final = rb"[a-z0-9][a-z0-9_\-*/@]{0,255}"
_VALUE: Final = rb"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rb"(%b)=%b" % (_KEY, _VALUE))


class Parent(NamedTuple):
    """What a traceparent field says."""

    trace_id: bytes  # 32 hexadecimal digits, as they are written; so are all identifiers here
    span_id: bytes  # 16
    flags: int  # of SAMPLED and RANDOM


class Trace(NamedTuple):
    """The edge's span of one request."""

    said: bytes  # the traceparent field of those who are asked on the request's behalf
    parent_id: bytes  # the span that the request named; empty where the trace begins here
    state: bytes  # the tracestate field that goes with it; empty for none

    @property
    def trace_id(self) -> bytes:
        """Of the trace."""
        return self.said[3:35]

    @property
    def span_id(self) -> bytes:
        """Of the edge's own span."""
        return self.said[36:52]

    @property
    def sampled(self) -> bool:
        """Whether its spans are recorded."""
        return bool(int(self.said[53:55], 16) & SAMPLED)

    def within(self, span_bits: int) -> "Trace":
        """The span of a request that is sent on behalf of this one.

        :param span_bits: 64 of them, random.
        """
        said = b"%b%016x%b" % (self.said[:36], span_bits or 1, self.said[52:])
        return Trace(said, self.span_id, self.state)


def parent_of(field: bytes) -> Parent | None:
    """What a traceparent field says; None for one that is not valid (section 3.2), which is as good as none.

    A later version than 00 is read as far as this one goes (section 4.3.2).
    """
    match = _PARENT.fullmatch(field)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more is not None):
        return None
    if trace_id.strip(b"0") == b"" or span_id.strip(b"0") == b"":
        return None
    known = SAMPLED | RANDOM if version == b"00" else SAMPLED
    return Parent(trace_id, span_id, int(flags, 16) & known)


def state_of(fields: Sequence[bytes]) -> bytes:
    """The tracestate fields of a request as one (section 3.3), with what of it is passed on.

    Members beyond `STATE_MAX` bytes together are left out, long ones first, and then from the end (section 3.3.1.5).
    It is empty where the fields are none that this section knows: nobody could say what of them is meant.
    """
    members = [member.strip(b" \t") for member in b",".join(fields).split(b",")] if fields else []
    members = [member for member in members if member]
    matches = [_MEMBER.fullmatch(member) for member in members[: MEMBERS_MAX + 1]]
    keys = {match[1] for match in matches if match is not None}
    if len(members) > MEMBERS_MAX or len(keys) != len(members):
        return b""
    if _joined_size(members) > STATE_MAX:
        members = [member for member in members if len(member) <= LONG_MEMBER]
    while _joined_size(members) > STATE_MAX:
        members.pop()
    return b",".join(members)


def _joined_size(members: Sequence[bytes]) -> int:
    return sum(map(len, members)) + max(0, len(members) - 1)


def begun(prefix: bytes, bits: int, bound: int) -> Trace:
    """A trace that begins with this request. Its first span has the right half of its identifier.

    :param prefix: the left half, 16 digits that only this edge has. :param bits: 64 of them, random.
    :param bound: from 0 to `ALL`: the part of all traces that is sampled, by the right half.
    """
    half = b"%016x" % (bits or 1)
    return _new(Trace, (b"00-%b%b-%b-%b" % (prefix, half, half, b"03" if bits < bound else b"02"), b"", b""))


def continued(parent: Parent, state: bytes, span_bits: int, bound: int, *, trusted: bool) -> Trace:
    """A trace that goes on with this request.

    :param state: the request's tracestate, as `state_of` has it. :param span_bits: 64 of them, random.
    :param bound: from 0 to `ALL`: the part of the requests that is sampled if they are from anybody. It goes by the
        edge's own number, since a client chooses the trace's.
    :param trusted: it is from a proxy that may say what is sampled.
    """
    sampled = bool(parent.flags & SAMPLED) if trusted else span_bits < bound
    flags = (parent.flags & RANDOM) | (SAMPLED if sampled else 0)
    return Trace(b"00-%b-%016x-%02x" % (parent.trace_id, span_bits or 1, flags), parent.span_id, state)
