"""What an upstream is told beside what the guest says: on whose behalf it is asked, and by whom.

A guest does not say which of its requests an exchange is for. Loops are found all the same, since what holds for any
of them is passed on; a place in a trace is given only where there is but one, and what the guest says itself holds.
"""

import time
from collections.abc import Sequence
from typing import Final

from edge.model import loops, tracing
from edge.model.finished import Fetched
from edge.model.services import Machine
from edge.model.tracing import Trace

AGENT: Final = "nunatak"  # to those who want to know of one


class Asked:
    """A request that goes to an upstream."""

    __slots__ = ("began", "fields", "method", "status", "trace", "url")

    def __init__(
        self, machine: Machine, method: str, url: str, said: Sequence[tuple[str, str]], span_id: int, now: float
    ) -> None:
        """:param said: fields of the guest. :param span_id: of this request, 64 random bits. :param now: loop time."""
        self.method, self.url, self.began = method, url, now
        self.status = 0  # of its answer, once that is here
        known = {name.lower(): value for name, value in said}
        self.fields = [*said, ("CDN-Loop", loops.onward(stream.loops for stream in machine.streams.values()))]
        own = known.get("traceparent")
        self.trace = _trace_of(machine, span_id) if own is None else _goes_on(own, span_id)
        if own is None and self.trace is not None:
            self.fields.append(("traceparent", self.trace.said.decode()))
            if self.trace.state and "tracestate" not in known:
                self.fields.append(("tracestate", self.trace.state.decode()))
        # Bytes go through as they come, so none are asked for that the guest would have to unpack first.
        self.fields += [] if "accept-encoding" in known else [("Accept-Encoding", "identity")]
        self.fields += [] if "user-agent" in known else [("User-Agent", AGENT)]

    def fetched(self, service: str, outcome: str, now: float) -> Fetched:
        """It is over."""
        duration_s = now - self.began
        url = self.url.partition("?")[0].partition("#")[0]
        began = time.time() - duration_s
        return Fetched(began, duration_s, self.trace, service, self.method, url, self.status, outcome)


def _trace_of(machine: Machine, span_id: int) -> Trace | None:
    """A span within what the machine does now; None where that could be several requests, or none."""
    streams = machine.streams
    around = next(iter(streams.values())).trace if len(streams) == 1 else None
    return None if around is None else around.within(span_id)


def _goes_on(own: str, span_id: int) -> Trace | None:
    """A span beside the one that a guest names to its upstream, within the same."""
    parent = tracing.parent_of(own.encode("latin-1", "replace"))
    return None if parent is None else tracing.continued(parent, b"", span_id, 0, trusted=True)
