"""Answers that come as they are written: in every language, under the client's own speed, until somebody leaves.

What is asserted is order: what was there before the next was let go.
"""

import gzip
import http.client
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site
from tests.support.edges import PATIENCE_S, eventually, metrics
from tests.support.guests import PROGRAMS
from tests.support.serving import serving

WORKER = Path(__file__).parent / "workers" / "streams.js"
LARGE = 1 << 20  # more than a machine's window


TEXT = b"the same again and again, " * 100_000  # 2.6 MB, in 8 KB
PACKED = {
    "gzip": gzip.compress(TEXT),
    "gzip-members": gzip.compress(TEXT[:100_000]) + gzip.compress(TEXT[100_000:]),
    "gzip-cut": gzip.compress(TEXT)[:-20],
    "gzip-bad": b"\x1f\x8b\x08\x00 no such thing",
    "deflate": zlib.compress(TEXT),
    "deflate-bare": zlib.compress(TEXT)[2:-4],
}


class Upstream(BaseHTTPRequestHandler):
    """Says a lot, a little, nothing for long, or where else to ask."""

    protocol_version = "HTTP/1.1"
    left = threading.Event()  # somebody who was told nothing has gone
    owed = threading.Event()  # somebody did what it had promised
    events = threading.Semaphore(0)  # that may be sent

    def handle(self) -> None:
        with suppress(ConnectionError):  # guests give up on some
            super().handle()

    def do_GET(self) -> None:
        if self.path == "/silent":
            self.connection.settimeout(PATIENCE_S)
            if not self.connection.recv(1):
                self.left.set()
            self.close_connection = True
            return
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/some")
            self.send_header("Set-Cookie", "login=1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.close_connection = True
            for number in range(3):
                self.events.acquire(timeout=PATIENCE_S)
                self.wfile.write(b"data: %d\n\n" % number)
                self.wfile.flush()
            return
        if self.path == "/owed":
            self.owed.set()
        if self.path.startswith("/packed?"):
            self._packed(self.path.partition("?")[2])
            return
        body = bytes(LARGE) if self.path == "/large" else b"some " * 20_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _packed(self, coding: str) -> None:
        asked = [one.partition(";")[0].strip() for one in (self.headers["Accept-Encoding"] or "").split(",")]
        body = PACKED[coding]
        self.send_response(200)
        self.send_header("Content-Encoding", coding.partition("-")[0])
        self.send_header("X-Asked", " ".join(asked))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Reader:
    """A client that reads as much as it likes of an answer, and may send while it does."""

    def __init__(self, site: Site, path: str, host: str = "streams.test", method: str = "GET", head: str = "") -> None:
        parts = urlsplit(site.edges[0].url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{head}\r\n".encode())
        self.got = b""

    def until(self, text: bytes) -> bytes:
        """All that has come once this is there."""
        while text not in self.got:
            more = self.socket.recv(1 << 16)
            assert more, f"{text!r} expected, got {self.got!r} and the end"
            self.got += more
        return self.got

    def send(self, data: bytes) -> None:
        self.socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def leave(self) -> None:
        self.socket.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with serving(Upstream) as url:
        yield url


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Iterator[Site]:
    config: Mapping[str, int | float | str | bool] = {
        "refresh": 0.2,
        "upstreams": "127.0.0.0/8",
        "request_timeout": 2,
        "stream_timeout": 8,
    }
    with Site(tmp_path_factory.mktemp("streams"), edge_config=config) as site:
        options = ("--upstream", upstream, "--env", f"UPSTREAM={upstream}", "--cpu-ms", "5000")
        site.publish(site.build(WORKER, *options, name="streams"), "streams")
        site.publish(site.build(WORKER, *options, "--fresh", name="fresh"), "fresh")
        site.publish(site.build(PROGRAMS / "steps.c", name="steps"), "steps")
        site.publish(site.build(PROGRAMS / "linux_echo.c", "--cgi", name="echo"), "echo")
        yield site


@pytest.fixture
def client(streams: Site) -> Iterator[Client]:
    with Client(streams.edges[0].url) as client:
        yield client


def say(client: Client, path: str, host: str = "streams.test") -> str:
    answer = client.get(path, host=host)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def counts(client: Client) -> dict[str, int]:
    answer = client.get("/counts", host="streams.test")
    return dict(json.loads(answer.body))


def rise(client: Client, name: str, before: Mapping[str, int], by: int = 1) -> None:
    eventually(lambda: counts(client)[name] >= before[name] + by, f"{name} rises by {by}")
    assert counts(client)[name] == before[name] + by


@pytest.mark.timeout(900)  # the first build of a worker compiles its runtime
@pytest.mark.parametrize(("path", "words"), [("/steps", ["one", "two", "three"]), ("/piped-steps", ["[one]", "[two]"])])
def test_each_part_arrives_before_the_next_is_made(streams: Site, client: Client, path: str, words: list[str]) -> None:
    reader = Reader(streams, path)
    reader.until(b"\r\n\r\n")
    for word in words:
        assert word.encode() not in reader.got
        eventually(lambda: say(client, "/go") == "gone", "the worker waits for the next step")
        reader.until(word.encode())
    reader.until(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("first", [b"first", b"f" * 5000])
@pytest.mark.parametrize("host", ["streams.test", "steps.test", "echo.test"])
def test_in_every_language_an_answer_comes_while_the_request_does(streams: Site, host: str, first: bytes) -> None:
    # CGI says in CONTENT_LENGTH how much there is, so a body in chunks is gathered first, as the edge does a small one.
    pieces = (first, b"second", b"third", b"x" * 20_000)
    known = f"Content-Length: {sum(map(len, pieces))}\r\n" if host == "echo.test" else ""
    reader = Reader(streams, "/echo", host, "POST", known or "Transfer-Encoding: chunked\r\n")
    send = reader.socket.sendall if known else reader.send
    for piece in pieces:
        send(piece)
        reader.until(piece[-6:])
    send(b"")
    reader.until(b"\r\n0\r\n\r\n")


def test_a_c_program_that_sleeps_has_sent_what_it_wrote(streams: Site, client: Client) -> None:
    reader = Reader(streams, "/steps", "steps.test")
    for step in range(3):
        reader.until(b"step %d\n" % step)
        assert say(client, "/", "steps.test") == str(step + 1), "the next is not written yet"
        say(client, "/go", "steps.test")
    reader.until(b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("path", ["/quiet", "/piped-quiet"])
def test_a_client_that_leaves_is_heard_of_while_the_source_is_quiet(streams: Site, client: Client, path: str) -> None:
    before = counts(client)
    reader = Reader(streams, path)
    reader.until(b"\r\n\r\n")
    assert counts(client) == before
    reader.leave()
    rise(client, "cancelled", before)
    assert counts(client)["aborted"] == before["aborted"] + 1


def test_a_client_that_leaves_before_there_is_an_answer_is_heard_of(streams: Site, client: Client) -> None:
    before = counts(client)
    reader = Reader(streams, "/unanswered")
    eventually(lambda: metrics(streams.edges[0])["streams"] == 1, "the worker has it")
    reader.leave()
    rise(client, "aborted", before)


@pytest.mark.parametrize("path", ["/endless", "/quiet"])
def test_head_ends_at_the_head(client: Client, path: str) -> None:
    before = counts(client)
    for number in range(3):
        answer = client.request("HEAD", path, host="streams.test")
        assert (answer.status, answer.body) == (200, b"")
        rise(client, "cancelled", before, number + 1)
    assert counts(client)["pulls"] == before["pulls"]


def test_head_of_a_c_program_ends_at_the_head(client: Client) -> None:
    answer = client.request("HEAD", "/steps", host="steps.test")
    assert (answer.status, answer.body) == (201, b"")


def test_a_program_that_never_looks_ends_with_its_client(streams: Site, client: Client) -> None:
    def crashes() -> float:
        return sum(count for name, count in metrics(streams.edges[0]).items() if name.startswith("crashes"))

    before = crashes()
    for _ in range(3):
        assert client.request("HEAD", "/?endless", host="echo.test").status == 200
        reader = Reader(streams, "/?endless", "echo.test")
        reader.until(b"more\n")
        reader.leave()
    assert client.get("/", host="echo.test").status == 200, "its one machine is free again"
    assert crashes() == before


def test_a_client_that_does_not_read_stops_the_source(streams: Site, client: Client) -> None:
    reader = Reader(streams, "/endless")
    reader.until(b"\r\n\r\n")
    seen = [-1, 0]
    while seen[-1] != seen[-2]:  # until all windows and buffers on the way are full
        time.sleep(0.1)
        seen.append(counts(client)["pulls"])
    before = counts(client)
    assert counts(client)["pulls"] == before["pulls"]
    reader.leave()
    rise(client, "cancelled", before)


def test_transforms_pass_on_what_they_like(client: Client) -> None:
    assert say(client, "/lines") == "[abc][d][e]"


def test_a_locked_body_is_an_error_at_once(client: Client) -> None:
    assert client.get("/locked", host="streams.test").status == 500


def test_a_pause_within_an_answer_is_longer_than_one_before_it(streams: Site, client: Client) -> None:
    begun = Reader(streams, "/steps")
    begun.until(b"\r\n\r\n")
    assert client.get("/unanswered", host="streams.test").status == 504, "2 s without a first byte"
    eventually(lambda: say(client, "/go") == "gone", "it waits")
    begun.until(b"one")
    silent = Reader(streams, "/quiet")
    assert silent.until(b"\r\n\r\n")
    silent.socket.settimeout(PATIENCE_S)
    with suppress(ConnectionError):
        while more := silent.socket.recv(100):
            silent.got += more
    assert b"\r\n0\r\n" not in silent.got, "cut, and not ended as if it were whole"
    begun.leave()


@pytest.mark.parametrize(("cookies", "status"), [(1, 200), (7, 200), (32, 200), (45, 500)])
def test_a_large_head_arrives_or_is_an_error(streams: Site, cookies: int, status: int) -> None:
    parts = urlsplit(streams.edges[0].url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    connection.request("GET", f"/large-head?n={cookies}", headers={"Host": "streams.test"})
    response = connection.getresponse()
    assert response.status == status
    assert len(response.headers.get_all("set-cookie", [])) == (cookies if status == 200 else 0)
    connection.close()


# Requests to upstreams.


def test_answers_that_nobody_reads_take_no_places(streams: Site, client: Client) -> None:
    for _ in range(40):
        assert say(client, "/unread") == "200"
    streams.park("streams")
    for _ in range(40):
        assert say(client, "/unread") == "200"
    assert say(client, "/unread-in-a-row") == "40"


def test_more_than_there_are_places_for_wait_their_turn(client: Client) -> None:
    assert say(client, "/at-once") == str(40 * 100_000)


def test_an_abort_ends_what_is_silent(client: Client) -> None:
    Upstream.left.clear()
    assert say(client, "/silent") == "mine"
    assert Upstream.left.wait(PATIENCE_S), "the upstream sees its client go"


def test_what_was_asked_for_a_client_ends_when_it_leaves(streams: Site, client: Client) -> None:
    Upstream.left.clear()
    before = counts(client)
    reader = Reader(streams, "/left")
    eventually(lambda: metrics(streams.edges[0])["streams"] == 1, "the worker has it")
    time.sleep(0.2)
    reader.leave()
    assert Upstream.left.wait(PATIENCE_S)
    rise(client, "failed", before)


def test_what_wait_until_keeps_is_done_after_the_answer(client: Client) -> None:
    before = counts(client)
    assert say(client, "/kept") == "now"
    rise(client, "finished", before)


def test_what_was_promised_is_done_before_the_machine_is_parked(streams: Site, client: Client) -> None:
    Upstream.owed.clear()
    assert say(client, "/owed") == "now"
    streams.park("streams")
    assert Upstream.owed.is_set()
    assert client.get("/counts", host="streams.test").tier == "parked"


def test_what_was_promised_is_done_where_each_request_has_a_fresh_machine(client: Client) -> None:
    Upstream.owed.clear()
    assert say(client, "/owed", "fresh.test") == "now"
    assert Upstream.owed.wait(PATIENCE_S)
    assert say(client, "/counts", "fresh.test")


@pytest.mark.parametrize("coding", [name for name in PACKED if name not in ("gzip-cut", "gzip-bad")])
def test_compressed_answers_are_decoded(client: Client, coding: str) -> None:
    answer = client.get(f"/packed?as={coding}", host="streams.test")
    assert (answer.status, answer.body) == (200, TEXT)


@pytest.mark.parametrize("coding", ["gzip-cut", "gzip-bad"])
def test_what_is_compressed_wrongly_is_an_error(client: Client, coding: str) -> None:
    assert client.get(f"/packed?as={coding}", host="streams.test").status == 500


def test_a_compressed_answer_that_is_passed_on_keeps_its_bytes(streams: Site) -> None:
    got = {}
    for path in ("/packed-proxy?as=gzip", "/packed-changed?as=gzip&text", "/packed-changed?as=gzip"):
        parts = urlsplit(streams.edges[0].url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
        connection.request("GET", path, headers={"Host": "streams.test", "Accept-Encoding": "gzip, br;q=1.0, zstd"})
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["X-Asked"] == "gzip", "what could not be decoded is not asked for"
        got[path] = response.headers["Content-Encoding"], response.read()
        connection.close()
    changed = None, TEXT
    assert list(got.values()) == [("gzip", PACKED["gzip"]), changed, changed]


def test_a_compressed_answer_is_kept_as_it_came(client: Client) -> None:
    answer = client.get("/packed-kept?as=gzip", host="streams.test")
    assert (answer.headers["content-encoding"], answer.body) == ("gzip", PACKED["gzip"])
    assert client.get("/packed-kept?as=gzip&text", host="streams.test").body == TEXT


def test_a_redirect_is_the_browsers_where_its_request_is_passed_on(client: Client) -> None:
    answer = client.get("/login", host="streams.test")
    assert (answer.status, answer.headers["location"], answer.headers["set-cookie"]) == (302, "/some", "login=1")
    assert say(client, "/login-followed") == "/some"


def test_the_length_of_a_new_body_is_its_own(client: Client) -> None:
    assert say(client, "/stale-length") == "some some !"


def test_events_of_an_upstream_pass_one_by_one(streams: Site) -> None:
    reader = Reader(streams, "/passed-on")
    reader.until(b"\r\n\r\n")
    for number in range(3):
        assert b"data: %d" % number not in reader.got
        Upstream.events.release()
        reader.until(b"data: %d" % number)
    reader.until(b"\r\n0\r\n\r\n")
