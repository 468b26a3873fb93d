"""W3C Trace Context: what is taken from a request, what is made, and what others are told."""

from collections.abc import Sequence

import pytest

from edge.model import tracing
from edge.model.tracing import ALL, Parent

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
FIELD = b"00-%b-%b-01" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("field", "flags"),
    [
        (FIELD, 1),
        (FIELD[:-2] + b"00", 0),
        (FIELD[:-2] + b"03", 3),
        (FIELD[:-2] + b"ff", 3),  # of the others nothing is known
        (b"cc" + FIELD[2:], 1),
        (b"cc" + FIELD[2:] + b"-what-the-future-holds", 1),
        (b"01" + FIELD[2:-2] + b"03", 1),
    ],
)
def test_a_parent_that_is_valid_is_taken(field: bytes, flags: int) -> None:
    assert tracing.parent_of(field) == Parent(TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "field",
    [
        b"",
        b",",
        FIELD + b"-more",  # version 00 has four parts
        FIELD + b"\n",
        FIELD + b" ",
        FIELD[:-1],
        FIELD[:-2] + b"0g",
        FIELD.upper(),
        b"ff" + FIELD[2:],
        b"cc" + FIELD[2:] + b".more",
        b"0" + FIELD,
        FIELD.replace(TRACE, b"0" * 32),
        FIELD.replace(SPAN, b"0" * 16),
        FIELD.replace(TRACE, TRACE[1:]),
        FIELD.replace(SPAN, SPAN + b"0"),
        FIELD.replace(b"-", b"_"),
    ],
)
def test_a_parent_that_is_not_is_none(field: bytes) -> None:
    assert tracing.parent_of(field) is None


LONG = b"long=" + b"v" * 200


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ([], b""),
        ([b""], b""),
        ([b"a=1"], b"a=1"),
        ([b" a=1 ,\tb=2,,", b"tenant@system=x/y z"], b"a=1,b=2,tenant@system=x/y z"),
        ([b"0a_-*/@=1"], b"0a_-*/@=1"),
        ([b"%b=%b" % (b"k" * 256, b"v" * 256), b"a=1"], b"a=1"),  # too large together
        ([b",".join(b"k%d=1" % number for number in range(32))], b",".join(b"k%d=1" % number for number in range(32))),
        ([b",".join(b"k%d=1" % number for number in range(33))], b""),
        ([b"a=1,a=2"], b""),
        ([b"a=1", b"a=1"], b""),
        ([b"A=1"], b""),
        ([b"a"], b""),
        ([b"a="], b""),
        ([b"a=1=2"], b""),
        ([b"a=\x7f"], b""),
        ([b"a=1", b"b=\xe9"], b""),
        ([b"a b=1"], b""),
        ([b"%b=1" % (b"k" * 257)], b""),
        ([b"a=%b" % (b"v" * 257)], b""),
        ([b"a=1,b2%b,c2%b,d2%b,e=5" % (LONG, LONG, LONG)], b"a=1,e=5"),
        (
            [b",".join(b"k%02d=%b" % (number, b"v" * 20) for number in range(30))],
            b",".join(b"k%02d=%b" % (number, b"v" * 20) for number in range(20)),
        ),
    ],
)
def test_a_state_is_passed_on_within_bounds(fields: Sequence[bytes], state: bytes) -> None:
    assert tracing.state_of(fields) == state
    assert len(state) <= tracing.STATE_MAX


@pytest.mark.parametrize(
    ("bound", "low", "flags"), [(0, 0, b"02"), (ALL, ALL - 1, b"03"), (ALL // 2, ALL // 2, b"02"), (5, 4, b"03")]
)
def test_a_trace_that_begins_here_is_sampled_by_its_own_number(bound: int, low: int, flags: bytes) -> None:
    trace = tracing.begun(b"0123456789abcdef", low, bound)
    half = b"%016x" % (low or 1)
    assert trace.said == b"00-0123456789abcdef%b-%b-%b" % (half, half, flags)
    assert (trace.parent_id, trace.state, trace.sampled) == (b"", b"", flags == b"03")


def test_no_number_is_zero() -> None:
    assert tracing.parent_of(tracing.begun(b"0" * 16, 0, 0).said) is not None
    assert tracing.parent_of(tracing.continued(Parent(TRACE, SPAN, 1), b"", 0, 0, trusted=True).said) is not None


@pytest.mark.parametrize(
    ("said", "trusted", "bound", "flags"),
    [
        (3, True, 0, b"03"),
        (1, True, 0, b"01"),
        (0, True, ALL, b"00"),  # a proxy's word holds, either way
        (3, False, 0, b"02"),  # anybody's does not
        (1, False, 8, b"00"),  # the span below is 8: not under the bound
        (0, False, 9, b"01"),
    ],
)
def test_what_is_sampled_of_a_trace_that_goes_on(said: int, trusted: bool, bound: int, flags: bytes) -> None:
    trace = tracing.continued(Parent(TRACE, SPAN, said), b"a=1", 8, bound, trusted=trusted)
    assert trace.said == b"00-%b-0000000000000008-%b" % (TRACE, flags)
    assert (trace.trace_id, trace.span_id, trace.parent_id, trace.state) == (TRACE, b"0" * 15 + b"8", SPAN, b"a=1")


def test_a_request_within_has_a_span_of_its_own_in_the_same_trace() -> None:
    trace = tracing.continued(Parent(TRACE, SPAN, 1), b"", 8, 0, trusted=True)
    within = trace.within(0xA)
    assert (within.said, within.parent_id) == (b"00-%b-000000000000000a-01" % TRACE, trace.span_id)
