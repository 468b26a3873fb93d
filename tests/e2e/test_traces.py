"""What an edge says of a request: to its client, to its service, to upstreams, and to a collector of traces."""

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote, urlsplit

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site, example
from tests.support.collector import Collector, collecting_beside, values
from tests.support.edges import eventually, metrics, raw
from tests.support.guests import PROGRAMS
from tests.support.serving import serving

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1"}


class Handler(BaseHTTPRequestHandler):
    """An upstream: says what it was told, or asks the edge what it was asked itself."""

    protocol_version = "HTTP/1.1"
    edge = ""

    def do_GET(self) -> None:
        status, body = 200, json.dumps(dict(self.headers.items())).encode()
        if self.path.startswith("/circle?"):
            parts = urlsplit(self.edge)
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
            headers = {"Host": "ask.test", "CDN-Loop": self.headers["CDN-Loop"]}
            connection.request("GET", ask(f"http://{self.headers['Host']}{self.path}"), headers=headers)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
            connection.close()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=60")
        self.send_header("Via", "1.1 upstream")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def ask(url: str) -> str:
    return f"/?url={quote(url, safe='')}"


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with serving(Handler) as url:
        yield url


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting_beside() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, upstream: str, collector: Collector) -> Iterator[Site]:
    """An edge behind a proxy that it trusts, which is this test, with a service that asks an upstream."""
    config: Mapping[str, int | float | str | bool] = {
        "refresh": 0.2,
        "upstreams": "127.0.0.0/8",
        "trusted_proxies": "127.0.0.0/8",
        "request_timeout": 10,
        "via": "edge-7",
        "traces": collector.url,
        "trace_ratio": 1,
    }
    with Site(tmp_path_factory.mktemp("traced"), edge_config=config) as site:
        site.publish(site.build(PROGRAMS / "upstream.c", "--upstream", upstream, "--cpu-ms", "5000"), "ask")
        site.publish(site.build(example("echo")), "echo")
        Handler.edge = site.edges[0].url
        yield site


@pytest.fixture
def client(traced: Site) -> Iterator[Client]:
    with Client(traced.edges[0].url) as client:
        yield client


def test_a_service_is_told_who_asks_on_whose_behalf(client: Client) -> None:
    fields = {**PARENT, "X-Request-Id": "proxy.1_A", "Via": "1.1 proxy"}
    answer = client.request("GET", "/", host="echo.test", headers=fields)
    assert (answer.headers["x-request-id"], answer.headers["x-echo-x-request-id"]) == ("proxy.1_A", "proxy.1_A")
    assert (answer.headers["via"], answer.headers["x-echo-via"]) == ("1.1 edge-7", "1.1 proxy, 1.1 edge-7")
    version, trace, span, flags = answer.headers["x-echo-traceparent"].split("-")
    assert (version, trace, flags, answer.headers["x-echo-tracestate"]) == ("00", TRACE, "01", "a=1")
    assert span != SPAN
    refused = client.request("GET", "/", host="nobody.test", headers=fields)
    assert (refused.status, refused.headers["x-request-id"], "via" in refused.headers) == (421, "proxy.1_A", False)
    assert b"request proxy.1_A" in refused.body


def test_an_upstream_is_told_a_span_within_and_other_networks(client: Client, upstream: str, traced: Site) -> None:
    fields = {**PARENT, "CDN-Loop": "other.example; v=1"}
    first, hit = (client.request("GET", ask(f"{upstream}/told"), host="ask.test", headers=fields) for _ in range(2))
    told = {name.lower(): value for name, value in json.loads(first.body).items()}
    version, trace, span, flags = told["traceparent"].split("-")
    assert (version, trace, flags, told["tracestate"]) == ("00", TRACE, "01", "a=1")
    assert (span != SPAN, told["cdn-loop"], "via" in told) == (True, "other.example, nunatak", False)
    for answer, said in ((first, "fwd=uri-miss; stored"), (hit, "hit")):
        assert answer.headers["cache-status"].startswith(f"nunatak; {said}")
    got = raw(
        traced.edges[0],
        f"GET {ask(f'{upstream}/told')} HTTP/1.1\r\nHost: ask.test\r\nConnection: close\r\n\r\n".encode(),
    )
    assert re.findall(rb"\r\nVia: ([^\r]*)", got) == [b"1.1 upstream", b"1.1 edge-7"], "as they had it, one by one"


def test_a_circle_through_an_answer_that_others_may_wait_for_ends(client: Client, upstream: str, traced: Site) -> None:
    answer = client.get(ask(f"{upstream}/circle?1"), host="ask.test")
    assert answer.status == 508, "and not after request_timeout, when each has waited for the one before"
    assert metrics(traced.edges[0])["refusals_total{loop}"] >= 1


def test_a_collector_gets_the_spans_of_a_request(
    client: Client, upstream: str, collector: Collector, traced: Site
) -> None:
    trace = "1" * 32
    fields = {"traceparent": f"00-{trace}-{SPAN}-01"}
    told = client.request("GET", ask(f"{upstream}/spans?secret"), host="ask.test", headers=fields)
    eventually(lambda: len(collector.of(trace)) >= 3, "spans of the request, its run and its upstream")
    by_name = {(span.name, span.kind): span for span in collector.of(trace)}
    server, run = by_name["GET", 2], by_name["run guest", 1]
    outward = by_name["GET", 3]
    assert (server.parent_span_id.hex(), run.parent_span_id, outward.parent_span_id) == (
        *(SPAN, server.span_id),
        server.span_id,
    )
    received = {name.lower(): value for name, value in json.loads(told.body).items()}["traceparent"]
    assert received == f"00-{trace}-{outward.span_id.hex()}-01"
    about = values(server.attributes)
    assert (about["nunatak.request_id"], about["nunatak.service"]) == (told.headers["x-request-id"], "ask")
    assert values(outward.attributes)["url.full"] == f"{upstream}/spans"
    times = [server.start_time_unix_nano, run.start_time_unix_nano, run.end_time_unix_nano, server.end_time_unix_nano]
    assert times == sorted(times)
    unsampled = "2" * 32
    client.request("GET", "/", host="echo.test", headers={"traceparent": f"00-{unsampled}-{SPAN}-00"})
    begun = client.get("/", host="echo.test").headers["x-echo-traceparent"].split("-")[1]
    eventually(lambda: len(collector.of(begun)) >= 2, "spans of a trace that the edge began")
    assert collector.of(unsampled) == [], "the proxy said so"
    assert metrics(traced.edges[0])["spans_total{sent}"] >= 5
