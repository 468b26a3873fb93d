"""Spans on their way to a collector, by OTLP over HTTP: OpenTelemetry's SDK batches and sends them in a thread.

No request waits for any of this. What is on its way is bounded; beyond that spans are dropped, and counted, as are
those that the collector did not take. Headers for the collector, credentials among them, come from the environment
variable OTEL_EXPORTER_OTLP_HEADERS, which the SDK reads.
"""

import asyncio
import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from edge.common.counters import Counters
from edge.model.finished import Fetched, Finished
from edge.telemetry.spans import Kind, Span, span_of, spans_of

WAITING_MAX: Final = 2048  # spans that are on their way: some 4 MB
BATCH_MAX: Final = 128  # spans in a call: to write them takes the interpreter for about a millisecond
EVERY_S: Final = 1.0  # between two calls, while there are fewer
CALL_S: Final = 5.0  # for the collector to take a batch, tries that follow included
LEAVES: Final = 2  # times that, at the end, for what is on its way: after it no call begins

_KINDS: Final[dict[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}


class _Given(IdGenerator):
    """The identifiers that a span has already: its guest and its upstreams were told of them."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Counted(SpanExporter):
    """Says what became of each batch, in the loop that the edge runs in."""

    def __init__(self, exporter: SpanExporter, traces: "Traces") -> None:
        self._exporter, self._traces = exporter, traces
        self._loop = asyncio.get_running_loop()
        self.ends = math.inf  # seconds of the monotonic clock

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """In the thread of the SDK."""
        result = SpanExportResult.FAILURE
        try:
            if time.monotonic() < self.ends:
                result = self._exporter.export(spans)
        finally:
            with suppress(RuntimeError):  # the loop has ended: nobody counts any more
                sent = result is SpanExportResult.SUCCESS
                self._loop.call_soon_threadsafe(self._traces.over, len(spans), "sent" if sent else "failed")
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()


class Traces:
    """The spans of one edge."""

    def __init__(self, endpoint: str, counters: Counters, call_s: float = CALL_S) -> None:
        """:param endpoint: URL that takes traces, as http://127.0.0.1:4318/v1/traces. :param call_s: for a call."""
        self._counters, self._call_s = counters, call_s
        self._waiting = 0
        self._given = _Given()
        self._random = Random(os.urandom(32))
        self._exporter = _Counted(OTLPSpanExporter(endpoint, timeout=call_s), self)
        self._batches = BatchSpanProcessor(self._exporter, WAITING_MAX, EVERY_S * 1e3, BATCH_MAX)
        resource = Resource.create({"service.name": "nunatak"})  # OTEL_RESOURCE_ATTRIBUTES may say more
        provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._given)
        provider.add_span_processor(self._batches)
        self._tracer = provider.get_tracer("nunatak")

    def on_finished(self, finished: Finished) -> None:
        """A client's request is over."""
        for span in spans_of(finished, self._bits):
            self._send(span)

    def on_fetched(self, fetched: Fetched) -> None:
        """A guest's request is over."""
        span = span_of(fetched)
        if span is not None:
            self._send(span)

    def _bits(self) -> int:
        return self._random.getrandbits(64)

    def _send(self, span: Span) -> None:
        if self._waiting >= WAITING_MAX:
            self._counters.add(self._counters.spans, "dropped")
            return
        self._waiting += 1
        given = self._given
        given.trace_id, given.span_id = int(span.trace_id, 16), int(span.span_id, 16)
        context = Context()
        if span.parent_id:
            flags = TraceFlags(TraceFlags.SAMPLED)
            parent = SpanContext(given.trace_id, int(span.parent_id, 16), span.is_remote, flags)
            context = set_span_in_context(NonRecordingSpan(parent), context)
        made = self._tracer.start_span(
            span.name, context, _KINDS[span.kind], span.attributes, start_time=round(span.began * 1e9)
        )
        if span.failed:
            made.set_status(Status(StatusCode.ERROR))
        made.end(round(span.ended * 1e9))

    def over(self, count: int, outcome: str) -> None:
        """A batch has left, or come to nothing."""
        self._waiting -= count
        self._counters.add(self._counters.spans, outcome, count)

    async def close(self) -> None:
        """Send what is on its way, if the collector takes it soon, and no more."""
        self._exporter.ends = time.monotonic() + LEAVES * self._call_s
        await asyncio.to_thread(self._batches.shutdown)
