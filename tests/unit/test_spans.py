"""Requests as spans, and on their way to a collector: what is sent, what becomes of it, and that nobody waits."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edge.common.counters import Counters
from edge.model import tracing
from edge.model.finished import Fetched, Finished, Run
from edge.model.tracing import ALL, Parent, Trace
from edge.telemetry.begin import begin
from edge.telemetry.export import BATCH_MAX, WAITING_MAX, Traces
from edge.telemetry.spans import span_of, spans_of
from tests.support.collector import Collector, collecting, values
from tests.support.desk import config
from vmimage.errors import OperatorError

ROOT = Path(__file__).resolve().parents[2]
TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
CONTINUED = tracing.continued(Parent(TRACE, SPAN, 1), b"", 8, 0, trusted=True)
BEGUN = tracing.begun(b"7" * 16, 9, ALL)
RUN = Run("kvm", 0.001, 0.011, 0.031, 0.004, 0.002, 900, 1500)


def finished(**changes: Any) -> Finished:
    plain = Finished(
        began=1000.0,
        duration_s=0.05,
        id="a-1",
        trace=CONTINUED,
        client="192.0.2.1",
        method="GET",
        host="shop.test:8080",
        target="/cart?card=4111",
        version=(1, 1),
        status=200,
        whole=True,
        sent_bytes=142,
        body_bytes=42,
        service="shop",
        tenant="acme",
        release=3,
        tier="origin",
        cache="miss",
        error="",
        limit="",
        run=RUN,
    )
    return plain._replace(**changes)


def bits() -> Callable[[], int]:
    return count(0x10).__next__


def test_a_request_is_a_span_with_its_wait_and_its_run_within() -> None:
    server, opened, ran = spans_of(finished(), bits())
    assert (server.name, server.kind, server.trace_id, server.span_id) == ("GET", "server", TRACE, CONTINUED.span_id)
    assert (server.parent_id, server.is_remote, server.failed) == (SPAN, True, False)
    assert (server.began, server.ended) == (1000.0, 1000.05)
    assert server.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/cart",
        "network.protocol.version": "1.1",
        "nunatak.request_id": "a-1",
        "nunatak.sent_bytes": 142,
        "http.response.status_code": 200,
        "server.address": "shop.test",
        "nunatak.service": "shop",
        "nunatak.tenant": "acme",
        "nunatak.release": 3,
        "nunatak.tier": "origin",
        "nunatak.cache": "miss",
    }, "neither a query nor an address"
    for inner, name, began, ended in ((opened, "open machine", 0.001, 0.011), (ran, "run guest", 0.011, 0.031)):
        assert (inner.name, inner.kind, inner.parent_id, inner.is_remote) == (name, "internal", server.span_id, False)
        assert (inner.began, inner.ended) == (1000.0 + began, 1000.0 + ended)
    assert opened.attributes == {"nunatak.tier": "origin", "nunatak.fetch_ms": 4.0, "nunatak.verify_ms": 2.0}
    assert ran.attributes == {"nunatak.engine": "kvm", "nunatak.restore_us": 900, "nunatak.guest_cpu_us": 1500}
    assert len({server.span_id, opened.span_id, ran.span_id}) == 3


def test_who_waits_for_nothing_has_no_such_span() -> None:
    resident = finished(tier="resident", run=RUN._replace(given_s=0.001))
    assert [span.name for span in spans_of(resident, bits())] == ["GET", "run guest"]
    queued = finished(tier="resident")
    assert [span.name for span in spans_of(queued, bits())] == ["GET", "wait for machine", "run guest"]
    hit = finished(tier="", cache="hit", run=None, trace=BEGUN)
    [server] = spans_of(hit, bits())
    assert (server.parent_id, server.is_remote, server.attributes["nunatak.cache"]) == (b"", False, "hit")


@pytest.mark.parametrize(
    ("changes", "failed", "error"),
    [
        ({"status": 404}, False, None),
        ({"status": 503}, True, "503"),
        ({"status": 504, "error": "guest_silent"}, True, "guest_silent"),
        ({"status": 431, "error": "head_too_large"}, False, "head_too_large"),
    ],
)
def test_what_failed_says_so(changes: dict[str, Any], failed: bool, error: str | None) -> None:
    server = spans_of(finished(**changes), bits())[0]
    assert (server.failed, server.attributes.get("error.type")) == (failed, error)


def test_a_client_that_left_is_cut_and_has_no_status() -> None:
    server = spans_of(finished(status=0, whole=False, run=None), bits())[0]
    assert (server.attributes["nunatak.cut"], "http.response.status_code" in server.attributes) == (True, False)


def test_methods_that_nobody_counts_on_are_one() -> None:
    server = spans_of(finished(method="PROPFIND"), bits())[0]
    assert (server.name, server.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert server.attributes["http.request.method_original"] == "PROPFIND"


@pytest.mark.parametrize("trace", [None, tracing.begun(b"7" * 16, 9, 0)])
def test_what_is_not_sampled_is_no_span(trace: Trace | None) -> None:
    assert spans_of(finished(trace=trace), bits()) == []
    assert span_of(fetched(trace=trace)) is None


def fetched(**changes: Any) -> Fetched:
    within = CONTINUED.within(0xA)
    url = "https://up.test/feed"
    return Fetched(1000.0, 0.02, within, "shop", "POST", url, 201, "answered")._replace(**changes)


def test_a_guests_own_request_is_a_clients() -> None:
    span = span_of(fetched())
    assert span is not None
    assert (span.name, span.kind, span.parent_id, span.failed) == ("POST", "client", CONTINUED.span_id, False)
    assert (span.trace_id, span.span_id, span.began, span.ended) == (TRACE, b"0" * 15 + b"a", 1000.0, 1000.02)
    assert span.attributes == {
        "http.request.method": "POST",
        "url.full": "https://up.test/feed",
        "server.address": "up.test",
        "server.port": 443,
        "http.response.status_code": 201,
        "nunatak.service": "shop",
    }
    for changes, error in (({"status": 404}, "404"), ({"status": 0, "outcome": "failed"}, "failed")):
        span = span_of(fetched(**changes))
        assert span is not None
        assert (span.failed, span.attributes["error.type"]) == (True, error)


# On their way.


def with_collector(test: Callable[[Collector, Counters, Traces], Coroutine[Any, Any, None]]) -> None:
    async def scenario() -> None:
        async with collecting() as collector:
            counters = Counters()
            traces = begin(config(traces=collector.url), counters)
            assert traces is not None
            await test(collector, counters, traces)

    asyncio.run(scenario())


def test_spans_arrive_as_they_were_and_are_counted() -> None:
    async def test(collector: Collector, counters: Counters, traces: Traces) -> None:
        traces.on_finished(finished())
        traces.on_fetched(fetched(outcome="failed", status=0))
        traces.on_finished(finished(trace=None))
        await traces.close()
        await asyncio.sleep(0)
        assert counters.spans == {"sent": 4}
        server, opened, ran, client = collector.spans
        assert collector.resources[0]["service.name"] == "nunatak"
        assert (server.name, server.kind, server.trace_id.hex(), server.span_id.hex()) == (
            *("GET", server.SPAN_KIND_SERVER),
            *(TRACE.decode(), CONTINUED.span_id.decode()),
        )
        assert (server.parent_span_id.hex(), server.status.code) == (SPAN.decode(), 0)
        assert (server.start_time_unix_nano, server.end_time_unix_nano) == (1000 * 10**9, 1000_050_000_000)
        assert values(server.attributes)["url.path"] == "/cart"
        assert {opened.parent_span_id, ran.parent_span_id, client.parent_span_id} == {server.span_id}
        assert (client.kind, client.span_id.hex(), client.status.code) == (client.SPAN_KIND_CLIENT, "0" * 15 + "a", 2)

    with_collector(test)


def test_what_the_collector_refuses_is_counted() -> None:
    async def test(collector: Collector, counters: Counters, traces: Traces) -> None:
        collector.status = 400
        traces.on_fetched(fetched())
        await traces.close()
        await asyncio.sleep(0)
        assert counters.spans == {"failed": 1}

    with_collector(test)


def test_while_nothing_is_taken_spans_are_dropped_and_nobody_waits() -> None:
    async def test(collector: Collector, counters: Counters, traces: Traces) -> None:
        collector.taken = asyncio.Event()
        for _ in range(WAITING_MAX + 5):
            traces.on_fetched(fetched())
        assert counters.spans == {"dropped": 5}, "all of that in one turn of the loop"
        collector.taken.set()
        await traces.close()
        await asyncio.sleep(0)
        assert counters.spans == {"dropped": 5, "sent": WAITING_MAX}
        assert len(collector.spans) == WAITING_MAX
        assert len(collector.resources) >= WAITING_MAX // BATCH_MAX

    with_collector(test)


def test_a_collector_that_takes_nothing_does_not_keep_an_edge_from_its_end() -> None:
    async def test(collector: Collector, counters: Counters, other: Traces) -> None:
        await other.close()
        collector.taken = asyncio.Event()
        traces = Traces(collector.url, counters, call_s=0.1)
        for _ in range(5 * BATCH_MAX):
            traces.on_fetched(fetched())
        await traces.close()
        await asyncio.sleep(0)
        assert (counters.spans, collector.spans) == ({"failed": 5 * BATCH_MAX}, [])

    with_collector(test)


WITHOUT = """
import sys
sys.modules["opentelemetry"] = None  # as if it were not installed
from edge.common.counters import Counters
from edge.telemetry.begin import begin
from tests.support.desk import config
from vmimage.errors import OperatorError

assert begin(config(), Counters()) is None
try:
    begin(config(traces="http://127.0.0.1:1/v1/traces"), Counters())
except OperatorError as error:
    print(error)
"""


def test_without_the_extra_it_is_said_what_the_option_needs() -> None:
    command = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("traces: the packages of the extra nunatak[otel] expected"), done.stderr


@pytest.mark.parametrize("url", ["collector:4318", "ftp://a.test/", "http://", "http://user:word@a.test/v1/traces"])
def test_where_spans_cannot_go_is_told_at_the_start(url: str) -> None:
    with pytest.raises(OperatorError, match="an http or https URL"):
        config(traces=url)
