"""What `listen` may say, and what an edge makes of it: several places, each with what holds there."""

import asyncio
import socket
from pathlib import Path

import pytest
import uvloop

from edge.common.counters import Counters
from edge.common.service_manager import LISTENERS_MAX
from edge.config.listeners import PLACES_MAX, TEXT_MAX, Listener, parse_listeners
from edge.config.options import EdgeConfig, load_config
from edge.front.connection import Connection
from edge.front.crowd import Crowd
from edge.front.listeners import Listeners, Place
from edge.front.prelude import Refused
from edge.front.reached import Reached
from tests.support.connections import Clerk
from vmimage.errors import OperatorError

GIVEN = {"origin": "http://origin.example", "trust": "root.json", "cache": "cache"}
HAS_IPV6 = Path("/proc/net/if_inet6").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:80", [Listener("127.0.0.1:80", ("127.0.0.1", 80))]),
        ("[::]:80,v4v6", [Listener("[::]:80", ("::", 80), both=True)]),
        (
            " a:1,proxy\tb:2 ",
            [Listener("a:1", ("a", 1), proxy=True), Listener("b:2", ("b", 2))],
        ),
        (
            "unix:/run/e.sock,mode=0660,user=www,group=33,proxy",
            [Listener("unix:/run/e.sock", Path("/run/e.sock"), proxy=True, mode=0o660, user="www", group="33")],
        ),
        (
            "fd:front,proxy fd:a.socket",
            [Listener("fd:front", None, "front", proxy=True), Listener("fd:a.socket", None, "a.socket")],
        ),
    ],
)
def test_places_and_what_holds_there(text: str, expected: list[Listener]) -> None:
    assert list(parse_listeners(text)) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", f"1 to {PLACES_MAX} places expected, got 0"),
        (" ".join(f"a:{n}" for n in range(PLACES_MAX + 1)), f"got {PLACES_MAX + 1}"),
        ("a:1 b:2 a:1,proxy", "each place once expected, got a:1 again"),
        ("a:1,proxy,proxy", "each word once"),
        ("a:1,prox", "proxy expected behind a comma, got 'prox'"),
        ("a:1,", "proxy expected behind a comma, got ''"),
        ("a:1,mode=660", "proxy expected"),
        ("a:1,v4v6", "proxy expected"),
        ("[::1]:1,v4v6", "proxy expected"),
        ("[::]:1,mode=660", "proxy, v4v6 expected"),
        ("unix:/a,v4v6", "proxy, mode=660, user=NAME, group=NAME expected"),
        ("unix:/a,mode=1777", "expected behind a comma"),
        ("unix:/a,mode=68", "expected behind a comma"),
        ("unix:/a,user=", "expected behind a comma"),
        ("unix:/a,user=-x", "expected behind a comma"),
        ("unix:/a/", "unix:PATH, fd:NAME or ADDRESS:PORT"),
        ("fd:", "unix:PATH, fd:NAME or ADDRESS:PORT"),
        ("fd:admin", "another name than fd:admin"),
        ("fd:a,mode=660", "proxy expected"),
        (f"unix:/{'a' * TEXT_MAX}", f"at most {TEXT_MAX} characters"),
    ],
)
def test_what_is_no_place(text: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # the texts are compared
        parse_listeners(text)
    assert why in str(refused.value)
    with pytest.raises(OperatorError, match="listen: "):
        load_config(None, GIVEN | {"listen": text or " "})


def test_a_file_has_a_list_and_the_environment_blanks(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('listen = ["127.0.0.1:80", "unix:/run/e.sock,mode=660"]\n')
    wanted = "127.0.0.1:80 unix:/run/e.sock,mode=660"
    assert load_config(file, GIVEN).listen == wanted
    assert load_config(None, GIVEN, {"NUNATAK_EDGE_LISTEN": wanted}).listen == wanted
    file.write_text('listen = ["127.0.0.1:80 a:1"]\n')
    with pytest.raises(OperatorError, match=r":1: listen: .*without blanks expected"):
        load_config(file, GIVEN)


def test_the_proxy_protocol_is_for_an_edge_that_knows_its_proxies() -> None:
    with pytest.raises(OperatorError, match="trusted_proxies expected for a:1"):
        load_config(None, GIVEN | {"listen": "b:2 a:1,proxy"})
    for known in ("unix", "10.0.0.0/8"):
        assert load_config(None, GIVEN | {"listen": "a:1,proxy", "trusted_proxies": known}).listeners[0].proxy


# Opened.


class Told(Connection):
    """A connection whose taker hears when it is there."""

    def __init__(self, taker: "Taker", reached: Reached) -> None:
        super().__init__(taker, 60.0, reached)
        self._taker = taker

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._taker.came.append(self.reached)
        self._taker.arrived.set()


class Taker(Clerk):
    """Takes connections, and keeps how each came."""

    def __init__(self) -> None:
        super().__init__()
        self.connections: Crowd[Connection] = Crowd(100, 1 << 20, Counters())
        self.came: list[Reached] = []
        self.arrived = asyncio.Event()
        self.refused: list[tuple[Refused, str]] = []

    def connection(self, reached: Reached) -> Connection:
        return Told(self, reached)

    def trusts(self, peer: str) -> bool:
        return True

    def header_refused(self, why: Refused, peer: str) -> None:
        self.refused.append((why, peer))


def config(text: str) -> EdgeConfig:
    return load_config(None, GIVEN | {"listen": text, "trusted_proxies": "unix"})


async def until_came(taker: Taker, count: int) -> None:
    async with asyncio.timeout(20):
        while len(taker.came) < count:
            await taker.arrived.wait()
            taker.arrived.clear()


def test_each_place_is_open_and_each_connection_knows_its_port(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"

    async def run() -> None:
        taker = Taker()
        listeners = Listeners(taker)
        await listeners.open(list(map(Place, config(f"127.0.0.1:0 unix:{path},mode=600 localhost:0,proxy").listeners)))
        try:
            (_, first), *_ = listeners.addresses
            assert listeners.port == first
            assert listeners.where[0] == f"http://127.0.0.1:{first}"
            assert listeners.where[1] == f"unix:{path}"
            assert listeners.where[2].endswith(" (PROXY)")
            assert len(listeners.descriptors) == 1 + len(listeners.addresses)
            assert [place for place, _ in listeners.by_place] == ["127.0.0.1:0", f"unix:{path}", "localhost:0"]
            assert path.stat().st_mode & 0o777 == 0o600
            with socket.create_connection(("127.0.0.1", first)):
                await until_came(taker, 1)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                await until_came(taker, 2)
            third = listeners.addresses[1]
            with socket.create_connection(third) as proxy:
                proxy.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
                await until_came(taker, 3)
            assert taker.came == [Reached(first), Reached(80), Reached(third[1], "192.0.2.1")]
        finally:
            listeners.close()
            listeners.remove_files()
        assert not path.exists()

    uvloop.run(run())


def test_one_that_cannot_be_opened_leaves_none_open(tmp_path: Path) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            listeners = Listeners(Taker())
            places = f"unix:{tmp_path / 'e.sock'} 127.0.0.1:{busy.getsockname()[1]}"
            with pytest.raises(OperatorError, match="Address already in use"):
                await listeners.open(list(map(Place, config(places).listeners)))
            assert not (tmp_path / "e.sock").exists()

    uvloop.run(run())


@pytest.mark.skipif(not HAS_IPV6, reason="IPV6 IS NOT TESTED HERE: this machine has none")
@pytest.mark.parametrize(("words", "takes"), [("", False), (",v4v6", True)])
def test_a_socket_of_ipv6_takes_ipv4_where_that_is_said(words: str, takes: bool) -> None:
    async def run() -> None:
        taker = Taker()
        listeners = Listeners(taker)
        await listeners.open(list(map(Place, config(f"[::]:0{words}").listeners)))
        try:
            with socket.socket() as client:
                assert (client.connect_ex(("127.0.0.1", listeners.port)) == 0) is takes
                if takes:
                    await until_came(taker, 1)
                    (member,) = taker.connections
                    assert member.remote == "127.0.0.1", "not ::ffff:127.0.0.1, which is one party with all others"
        finally:
            listeners.close()

    uvloop.run(run())


def test_a_unix_socket_that_is_anothers_by_now_is_left(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"

    async def run() -> None:
        listeners = Listeners(Taker())
        await listeners.open(list(map(Place, config(f"unix:{path}").listeners)))
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            listeners.close()
            listeners.remove_files()
            assert path.is_socket()

    uvloop.run(run())


def test_no_more_sockets_than_go_from_an_edge_to_the_next() -> None:
    async def run() -> None:
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(LISTENERS_MAX)]
        listeners = Listeners(Taker())
        places = [Place(Listener("fd:a", None, "a"), held), Place(Listener("127.0.0.1:0", ("127.0.0.1", 0)))]
        with pytest.raises(OperatorError, match=f"at most {LISTENERS_MAX} sockets expected, got {LISTENERS_MAX + 1}"):
            await listeners.open(places)

    uvloop.run(run())
