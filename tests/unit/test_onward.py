"""What an upstream is told beside what a guest says, and what is told of it when it is over."""

from collections.abc import Sequence
from typing import cast

import pytest

from edge.devices.onward import Asked
from edge.model import tracing
from edge.model.services import Machine, StreamState
from edge.model.tracing import Parent, Trace

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
PARENT = Parent(TRACE, SPAN, 1)
OURS = tracing.continued(PARENT, b"a=1", 8, 0, trusted=True)


class Stream:
    def __init__(self, loops: str = "", trace: Trace | None = None) -> None:
        self.loops, self.trace = loops, trace


class Busy:
    """A machine with requests."""

    def __init__(self, *streams: Stream) -> None:
        self.streams = dict(enumerate(cast(Sequence[StreamState], streams)))


def asked(machine: Busy, *said: tuple[str, str]) -> Asked:
    return Asked(cast(Machine, machine), "GET", "https://a.test/b?secret=1#c", said, 0xA, 5.0)


def test_a_request_for_the_only_one_is_within_it() -> None:
    of = asked(Busy(Stream("other, nunatak", OURS)), ("X-Own", "1"))
    assert of.fields == [
        ("X-Own", "1"),
        ("CDN-Loop", "other, nunatak, nunatak"),
        ("traceparent", f"00-{TRACE.decode()}-000000000000000a-01"),
        ("tracestate", "a=1"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "nunatak"),
    ]
    assert of.trace is not None
    assert of.trace.parent_id == OURS.span_id


@pytest.mark.parametrize("machine", [Busy(), Busy(Stream()), Busy(Stream(trace=OURS), Stream(trace=OURS))])
def test_nobody_guesses_for_which_of_several_it_is(machine: Busy) -> None:
    of = asked(machine, ("Accept-Encoding", "gzip"), ("user-agent", "own"))
    assert of.fields == [("Accept-Encoding", "gzip"), ("user-agent", "own"), ("CDN-Loop", "nunatak")]
    assert of.trace is None


@pytest.mark.parametrize(("field", "valid"), [(f"00-{TRACE.decode()}-{SPAN.decode()}-01", True), ("é-own", False)])
def test_what_a_guest_says_of_its_trace_holds(field: str, valid: bool) -> None:
    of = asked(Busy(Stream(trace=OURS)), ("TraceParent", field))
    assert [value for name, value in of.fields if name.lower().startswith("trace")] == [field]
    if not valid:
        assert of.trace is None
        return
    assert of.trace is not None
    assert (of.trace.trace_id, of.trace.parent_id, of.trace.sampled) == (TRACE, SPAN, True)


def test_what_is_told_holds_no_query() -> None:
    of = asked(Busy(Stream(trace=OURS)))
    of.status = 203
    fetched = of.fetched("shop", "answered", 7.0)
    assert (fetched.url, fetched.status, fetched.outcome, fetched.duration_s) == (
        "https://a.test/b",
        203,
        "answered",
        2.0,
    )
    assert (fetched.service, fetched.method, fetched.trace) == ("shop", "GET", of.trace)
