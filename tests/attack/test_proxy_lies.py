"""Clients that say they are others, or hold a listener up: fields of proxies, and headers of the PROXY protocol.

The edge has three places: one for everybody, one behind the PROXY protocol, and a Unix socket. It trusts 127.0.0.1 and
whoever comes through the Unix socket; a client of 127.0.0.7 is anybody.
"""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.front.proxy_header import BLOCK_MAX
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import PATIENCE_S, eventually, metrics
from tests.support.fronts import free_port

HOST = "lies.test"
ANYBODY, PROXY = "127.0.0.7", "127.0.0.1"
SAYS = Path(__file__).parents[1] / "guest" / "programs" / "says.c"
HEADER = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n"
ASK = f"GET /asked HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n".encode()
LIES = b"X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.2;proto=https\r\nX-Forwarded-Proto: https\r\n"


class Places:
    """Where that edge listens."""

    def __init__(self, folder: Path) -> None:
        self.open, self.behind, self.path = free_port(), free_port(), folder / "e.sock"

    @property
    def options(self) -> list[str]:
        places = (f"127.0.0.1:{self.open}", f"127.0.0.1:{self.behind},proxy", f"unix:{self.path},mode=600")
        return [word for place in places for word in ("--listen", place)]


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Places]]:
    with Site(tmp_path_factory.mktemp("lies"), edges=0, edge_config={"refresh": 0.2}) as site:
        site.publish(site.build(example("echo")), "lies", HOST)
        site.publish(site.build(SAYS), "says", "says.test")
        server = site.add_edge(config={"trusted_proxies": f"{PROXY}, unix", "service_host": ""})
        server.stop()
        places = Places(site.folder)
        at = server.command.index("--listen")
        server.command[at : at + 2] = places.options
        server.start()
        yield server, places


def tell(at: int | Path, data: bytes, source: str = PROXY) -> bytes:
    """What an edge says, until it closes."""
    if isinstance(at, Path):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE_S)
        connection.connect(str(at))
    else:
        connection = socket.create_connection(("127.0.0.1", at), timeout=PATIENCE_S, source_address=(source, 0))
    with connection:
        connection.sendall(data)
        return heard(connection)


def heard(connection: socket.socket) -> bytes:
    """All that comes until the other end closes, or breaks off."""
    got = b""
    try:
        while more := connection.recv(1 << 16):
            got += more
    except ConnectionResetError:
        pass
    return got


def told(got: bytes) -> tuple[str, str, str]:
    """Who a service was told that its client is, the way to it, and the scheme."""
    assert got.startswith(b"HTTP/1.1 200 "), got
    fields = {name.lower(): value.decode() for name, value in re.findall(rb"\r\nX-Echo-([^:]*): ([^\r]*)", got)}
    assert b"198.51.100.2" not in got, "X-Forwarded-For goes before Forwarded"
    return fields[b"x-real-ip"], fields[b"x-forwarded-for"], fields.get(b"x-forwarded-proto", "")


def refusals(server: Server) -> dict[str, float]:
    found = metrics(server)
    return {why: found.get(f"proxy_headers_refused_total{{{why}}}", 0.0) for why in ("untrusted", "malformed", "late")}


def test_an_edge_says_where_it_serves(edge: tuple[Server, Places]) -> None:
    server, places = edge
    ready = [line for line in server.log.read_text().splitlines() if "ready on" in line][-1]
    assert ready.endswith(
        f"ready on http://127.0.0.1:{places.open} and http://127.0.0.1:{places.behind} (PROXY) and unix:{places.path}"
    )
    assert places.path.stat().st_mode & 0o777 == 0o600


def test_nobody_says_who_the_client_is_but_a_trusted_proxy(edge: tuple[Server, Places]) -> None:
    _, places = edge
    request = ASK + LIES + b"\r\n"
    assert told(tell(places.open, request, ANYBODY)) == (ANYBODY, ANYBODY, "")
    assert told(tell(places.open, request, PROXY)) == ("198.51.100.1", f"198.51.100.1, {PROXY}", "https")
    assert told(tell(places.path, request)) == ("198.51.100.1", f"198.51.100.1, {PROXY}", "https")
    assert told(tell(places.behind, HEADER + request)) == ("203.0.113.9", "203.0.113.9", ""), "the client's own fields"
    unknown = b"PROXY UNKNOWN\r\n" + ASK + b"X-Request-Id: forged\r\n" + LIES + b"\r\n"
    got = tell(places.behind, unknown)
    assert told(got) == (PROXY, PROXY, ""), "nobody's word, though it comes from a proxy"
    assert b"forged" not in got


def test_what_is_kept_for_one_scheme_is_not_for_the_other(edge: tuple[Server, Places]) -> None:
    """Else a client that nobody believes has an answer to http kept for those who came by https."""
    _, places = edge
    page = b"GET /page HTTP/1.1\r\nHost: says.test\r\nConnection: close\r\nSay: Cache-Control: max-age=600\r\n"
    way, https = b"X-Forwarded-For: 203.0.113.9\r\n", b"X-Forwarded-Proto: https\r\n"
    by_tls = (  # from a client that its proxy says to have come by TLS
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x14" + bytes.fromhex("cb007109c000020112670050 2000050100000000")
    )

    def run(at: int, fields: bytes, source: str, header: bytes = b"") -> bytes:
        got = tell(at, header + page + fields + b"\r\n", source)
        assert got.startswith(b"HTTP/1.1 200 "), got
        return got.partition(b"\r\n\r\n")[2].partition(b",")[0]

    plain = run(places.open, https, ANYBODY)
    assert run(places.open, b"", ANYBODY) == plain, "nobody believed it"
    behind = run(places.behind, b"", PROXY, HEADER)
    assert run(places.behind, https, PROXY, HEADER) == behind, "nor the client of a proxy"
    assert behind != plain, "a program is told the port, too, which a Host field need not name"
    secure = run(places.open, way + https, PROXY)
    assert secure != plain
    assert run(places.open, way + https, PROXY) == secure
    assert run(places.behind, b"", PROXY, by_tls) not in (plain, behind)
    forged = b"Forwarded: for=203.0.113.9;proto=https, for=198.51.100.1;proto=http\r\n"
    other = b"Forwarded: for=203.0.113.9;proto=https, for=127.0.0.1;proto=http\r\n"
    assert run(places.open, forged, PROXY) != run(places.open, other, PROXY), "the same words, of other clients"


def test_a_forwarded_that_can_be_read_in_two_ways_reaches_no_guest(edge: tuple[Server, Places]) -> None:
    _, places = edge
    for line in (b'for=", for=203.0.113.9', b"for=203.0.113.9; for=198.51.100.1", b"for=1.2.3"):
        request = ASK + b"Forwarded: " + line + b"\r\n\r\n"
        assert tell(places.open, request, PROXY).startswith(b"HTTP/1.1 400 ")
        assert tell(places.open, request, ANYBODY).startswith(b"HTTP/1.1 200 "), "nobody believes it"


def test_a_listener_behind_the_protocol_takes_nobody_else(edge: tuple[Server, Places]) -> None:
    server, places = edge
    before = refusals(server)
    for data, source, why in (
        (ASK + b"\r\n", PROXY, "malformed"),
        (HEADER + ASK + b"\r\n", ANYBODY, "untrusted"),
        (b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 080\r\n" + ASK + b"\r\n", PROXY, "malformed"),
    ):
        assert tell(places.behind, data, source) == b""
        before[why] += 1
    assert refusals(server) == before
    assert "event=proxy_header_refused reason=untrusted peer=127.0.0.7" in server.log.read_text()


def test_a_header_is_taken_once_and_only_where_it_is_expected(edge: tuple[Server, Places]) -> None:
    _, places = edge
    nested = HEADER + b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + ASK + b"\r\n"
    assert tell(places.behind, nested).startswith(b"HTTP/1.1 400 ")
    for at in (places.open, places.path):
        assert tell(at, HEADER + ASK + b"\r\n").startswith(b"HTTP/1.1 400 ")


def test_headers_that_never_end_hold_nobody_up(edge: tuple[Server, Places]) -> None:
    server, places = edge
    before = refusals(server)["late"]
    block = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + BLOCK_MAX.to_bytes(2, "big")
    slow = [socket.create_connection(("127.0.0.1", places.behind)) for _ in range(40)]
    for number, each in enumerate(slow):
        each.sendall(HEADER[:-1] if number % 2 else block + bytes(BLOCK_MAX - 1))
    assert told(tell(places.behind, HEADER + ASK + b"\r\n"))[0] == "203.0.113.9"
    for each in slow:
        each.settimeout(PATIENCE_S)
        assert heard(each) == b""
        each.close()
    eventually(lambda: refusals(server)["late"] == before + len(slow), "all of them have had their time")


def test_more_than_anybody_needs_is_refused_at_once(edge: tuple[Server, Places]) -> None:
    server, places = edge
    for data in (b"PROXY UNKNOWN " + b"x" * 100, b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"):
        assert tell(places.behind, data) == b""
    assert metrics(server)["proxy_headers_refused_total{too_long}"] == 2
