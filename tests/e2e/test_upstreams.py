"""Guests that ask others: a real upstream behind a real edge, and what an edge does not let through."""

import http.client
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.site import Site, example
from tests.support.edges import eventually, metrics
from tests.support.guests import PROGRAMS
from tests.support.serving import serving

SIZE = 3 << 20


class Handler(BaseHTTPRequestHandler):
    """An upstream: says what it got, sends a lot, breaks off."""

    protocol_version = "HTTP/1.1"
    edge = ""  # where it passes on what is under /edge: no guest reaches an edge's own listeners by itself

    def do_GET(self) -> None:
        if self.path.startswith("/edge/"):
            self._pass_on()
            return
        if self.path == "/feed":
            self._answer(200, b'{"title": "News & more", "items": [{"title": "<One>", "url": "http://a.test/1"}]}')
            return
        if self.path == "/to-feed":
            self.send_response(302)
            self.send_header("Location", "/feed")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True
            return
        body = bytes(SIZE) if self.path == "/large" else f"{self.path} {self.headers['CDN-Loop']}".encode()
        self._answer(203, body)

    def _pass_on(self) -> None:
        parts = urlsplit(self.edge)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        headers = {"Host": "ask.test", "CDN-Loop": self.headers["CDN-Loop"]}
        connection.request("GET", self.path.removeprefix("/edge"), headers=headers)
        response = connection.getresponse()
        self._answer(response.status, response.read())
        connection.close()

    def do_POST(self) -> None:
        if "Content-Length" in self.headers:
            data = self.rfile.read(int(self.headers["Content-Length"]))
        else:
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        self._answer(200, f"{len(data)} {self.headers['X-From']}".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Answer", "42")
        self.send_header("Connection", "X-Hop")
        self.send_header("X-Hop", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """URL of a server of the test's own."""
    with serving(Handler) as url:
        yield url


@pytest.fixture(scope="module")
def open_site(tmp_path_factory: pytest.TempPathFactory, upstream: str) -> Iterator[Site]:
    """An edge whose guests may reach this machine, and the service that asks the upstream and the edge itself."""
    config: Mapping[str, int | float | str | bool] = {"refresh": 0.2, "upstreams": "127.0.0.0/8"}
    with Site(tmp_path_factory.mktemp("open"), edge_config=config) as site:
        image = site.build(
            PROGRAMS / "upstream.c", "--upstream", upstream, "--upstream", site.edges[0].url, "--cpu-ms", "5000"
        )
        site.publish(image, "ask")
        Handler.edge = site.edges[0].url
        yield site


@pytest.fixture
def client(open_site: Site) -> Iterator[Client]:
    with Client(open_site.edges[0].url) as client:
        yield client


@pytest.fixture(scope="module")
def headlines(open_site: Site, upstream: str) -> Callable[[str], Answer]:
    """The example in Lua, asked about a feed."""

    def get(feed: str, path: str = "/") -> Answer:
        name = f"lines{feed.replace('/', '-')}"
        options = ("--env", f"FEED={upstream}{feed}", "--upstream", upstream, "--cpu-ms", "5000")
        open_site.publish(open_site.build(example("headlines"), *options, name=name), name)
        with Client(open_site.edges[0].url) as client:
            return client.get(path, host=f"{name}.test")

    return get


def ask(url: str) -> str:
    return f"/?url={quote(url, safe='')}"


def test_an_answer_comes_through(client: Client, upstream: str) -> None:
    answer = client.get(ask(upstream + "/page?q=1"), host="ask.test")
    assert (answer.status, answer.headers["x-answer"], answer.body) == (203, "42", b"/page?q=1 nunatak")
    assert "x-hop" not in answer.headers, "Connection lists it"


def test_a_large_answer_comes_through(client: Client, upstream: str) -> None:
    assert client.get(ask(upstream + "/large"), host="ask.test").body == bytes(SIZE)


@pytest.mark.parametrize("size", [0, 1000, SIZE])
def test_a_body_goes_through(client: Client, upstream: str, size: int) -> None:
    answer = client.request("POST", ask(upstream), host="ask.test", body=bytes(size))
    assert answer.body == f"{size} guest".encode()


def test_an_upstream_that_breaks_off_is_an_error_in_that_guest_alone(client: Client, upstream: str) -> None:
    answer = client.get(ask(upstream + "/cut"), host="ask.test")
    assert answer.status == 200
    assert answer.body.startswith(b"only this")
    assert len(answer.body) > len(b"only this"), "and why it broke off"


def test_an_upstream_where_nobody_listens_is_502_and_counted(client: Client, open_site: Site) -> None:
    before = metrics(open_site.edges[0]).get("upstream_requests_total{refused}", 0)
    assert client.get(ask("http://127.0.0.1:1/"), host="ask.test").status == 502
    assert metrics(open_site.edges[0])["upstream_requests_total{refused}"] == before + 1


def test_a_service_that_asks_itself_by_way_of_another_is_stopped(client: Client, upstream: str) -> None:
    url = upstream + "/edge"
    nested = upstream + "/page"
    for _ in range(12):
        nested = url + ask(nested)
    answer = client.get(ask(nested), host="ask.test")
    assert answer.status == 508


def test_nothing_is_left_over(client: Client, open_site: Site, upstream: str) -> None:
    assert client.get(ask(upstream + "/x"), host="ask.test").status == 203
    eventually(lambda: metrics(open_site.edges[0])["streams"] == 0, "all streams end")
    open_site.park("ask")


def test_the_internet_is_not_this_machine(site: Site, upstream: str, tmp_path: Path) -> None:
    site.publish(site.build(PROGRAMS / "upstream.c", "--upstream", upstream, name="closed"), "closed")
    with Client(site.edges[0].url) as client:
        answer = client.get(ask(upstream + "/page"), host="closed.test")
    assert answer.status == 502
    assert b"does not let guests reach 127.0.0.1" in answer.body


@pytest.mark.timeout(900)  # the first build of a worker compiles its runtime
def test_a_javascript_worker_fetches_what_its_image_and_the_edge_allow(
    client: Client, open_site: Site, upstream: str
) -> None:
    worker = Path(__file__).parent / "workers" / "ask.js"
    open_site.publish(open_site.build(worker, "--upstream", upstream, "--cpu-ms", "5000", name="ask-js"), "ask-js")

    def asked(url: str, body: bytes | None = None) -> tuple[int, str]:
        method = "GET" if body is None else "POST"
        answer = client.request(method, f"/~service/ask-js{ask(url)}", body=body)
        return answer.status, answer.body.decode()

    assert asked(f"{upstream}/a") == (200, "203 42 /a nunatak")
    assert asked(f"{upstream}/large") == (200, f"203 42 {SIZE}")
    assert asked(f"{upstream}/p", b"x" * 1000) == (200, "200 42 1000 js")
    for refused in (f"{upstream}/cut", open_site.edges[0].url, "http://127.0.0.1:1/"):  # broken off; not in the list
        status, message = asked(refused)
        assert (status, message.partition(":")[0]) == (502, "TypeError"), message
    assert asked(f"{upstream}/a")[0] == 200


@pytest.mark.timeout(900)
def test_a_page_in_lua_shows_what_an_upstream_has(headlines: Callable[[str], Answer]) -> None:
    page = headlines("/to-feed")
    assert page.status == 200
    assert b"<h1>News &amp; more</h1>" in page.body
    assert b'<a href="http://a.test/1">&lt;One&gt;</a>' in page.body
    assert headlines("/none").status == 502


@pytest.mark.timeout(900)
def test_what_breaks_off_above_a_page_in_lua_is_not_whole_below(open_site: Site, upstream: str, tmp_path: Path) -> None:
    page = tmp_path / "cut.lua"
    page.write_text(
        f"local web = require('web') return function() local a = web.fetch('{upstream}/cut') "
        "return {body = function() return a:read() end} end"
    )
    open_site.publish(open_site.build(page, "--upstream", upstream, "--cpu-ms", "5000"), "cut")
    with Client(open_site.edges[0].url) as client, pytest.raises((http.client.HTTPException, OSError)):
        client.get("/", host="cut.test")
