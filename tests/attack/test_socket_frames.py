"""WebSockets from both sides: frames that are none, clients that cost memory, guests that speak to others' clients."""

import re
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Message, Request, TextMessage

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import PATIENCE_S, eventually, metrics

GUEST = Path(__file__).parent / "programs" / "sockets.c"
MASK = b"\0\0\0\0"  # what is masked with it is what it was
TEXT, CONTINUED, BINARY, CLOSE, PING = 1, 0, 2, 8, 9
FIN = 0x80


@pytest.fixture(scope="module")
def image(site: Site) -> Path:
    return site.build(GUEST, name="socket-guest")


class Wire:
    """A client's connection, and wsproto's view of what comes; what is sent may be anything."""

    def __init__(self, edge: Server, service: str) -> None:
        parts = urlsplit(edge.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.socket.sendall(self.ws.send(Request(host=f"{service}.test", target="/")))
        accepted = next(self.events())
        assert isinstance(accepted, AcceptConnection)
        self.number = int(dict(accepted.extra_headers)[b"x-number"])

    def events(self) -> Iterator[Event]:
        while True:
            yield from self.ws.events()
            data = self.socket.recv(1 << 16)
            self.ws.receive_data(data or None)
            if not data:
                yield from self.ws.events()
                return

    def say(self, text: str) -> None:
        self.socket.sendall(self.ws.send(TextMessage(text)))

    def hear(self) -> str:
        parts = []
        for event in self.events():
            assert isinstance(event, Message), event
            parts.append(str(event.data))
            if event.message_finished:
                break
        return "".join(parts)

    def code(self) -> int:
        """With which the edge closes."""
        return next(int(event.code) for event in self.events() if isinstance(event, CloseConnection))

    def close(self) -> None:
        self.socket.close()


def frame(opcode: int, payload: bytes = b"", *, first: int = FIN, mask: bytes = MASK, size: int | None = None) -> bytes:
    """A client's frame. :param size: that it says it has."""
    length = len(payload) if size is None else size
    bit = 0x80 if mask else 0
    if length < 126:
        head = struct.pack("!BB", first | opcode, bit | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", first | opcode, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first | opcode, bit | 127, length)
    return head + mask + payload


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"not masked", mask=b""), 1002),
        (frame(3, b"reserved"), 1002),
        (frame(11, b"reserved"), 1002),
        (frame(TEXT, b"rsv", first=FIN | 0x40), 1002),
        (frame(CONTINUED, b"of nothing"), 1002),
        (frame(TEXT, b"a", first=0) + frame(TEXT, b"b"), 1002),
        (frame(PING, first=0), 1002),
        (frame(PING, bytes(126)), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, struct.pack("!H", 1006)), 1002),
        (frame(CLOSE, struct.pack("!H", 999)), 1002),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(TEXT, b"\xc3\x28"), 1007),
        (frame(TEXT, b"\xe2\x82"), 1007),  # ends within a character
        (frame(TEXT, b"\xe2\x82", first=0) + frame(CONTINUED, b"\x28"), 1007),
        (b"\x81\xff" + struct.pack("!Q", 1 << 63) + MASK, 1002),
        (b"\x81\xfe\x00\x05" + MASK + b"short", 1002),
        (frame(BINARY, bytes(1 << 16), size=1 << 40), 1009),  # more than a message may have, as soon as it is here
        (
            frame(BINARY, bytes(1 << 19), first=0) + frame(CONTINUED, bytes(1 << 19), first=0) + frame(CONTINUED, b"x"),
            1009,
        ),
    ],
)
def test_what_is_no_websocket_is_closed_with_a_reason(site: Site, image: Path, data: bytes, code: int) -> None:
    edge = site.edges[0]
    site_publish_once(site, image, "frames")
    with closing(Wire(edge, "frames")) as other, closing(Wire(edge, "frames")) as wire:
        for start in range(0, 1 << 21, 1 << 16) if code == 1009 and len(data) < 1 << 17 else (0,):
            try:
                wire.socket.sendall(data if start == 0 else bytes(1 << 16))
            except ConnectionError:
                break
        assert wire.code() == code
        other.say("still here")
        assert other.hear() == "still here"


_published: set[tuple[int, str]] = set()


def site_publish_once(site: Site, image: Path, name: str) -> None:
    """So that the cases of one test share a service."""
    if (id(site), name) not in _published:
        site.publish(image, name)
        _published.add((id(site), name))


def test_a_message_in_many_pieces_with_pings_between_arrives_whole(site: Site, image: Path) -> None:
    site_publish_once(site, image, "frames")
    with closing(Wire(site.edges[0], "frames")) as wire:
        text = "grüße".encode()
        data = frame(TEXT, b"", first=0)
        data += b"".join(frame(PING, b"p") + frame(CONTINUED, text[n : n + 1], first=0) for n in range(len(text)))
        for n in range(0, len(data) + 5, 5):
            wire.socket.sendall(data[n : n + 5])
        wire.socket.sendall(frame(CONTINUED))
        said = b"".join(bytes(str(e.data), "utf-8") for e in _messages(wire))
        assert said == text


def _messages(wire: Wire) -> Iterator[Message]:  # type: ignore[type-arg]
    for event in wire.events():
        if isinstance(event, Message):
            yield event
            if event.message_finished:
                return


def test_a_guest_speaks_to_no_client_of_another_service(site: Site, image: Path) -> None:
    edge = site.edges[0]
    for name in ("victim", "thief"):
        site_publish_once(site, image, name)
    with closing(Wire(edge, "victim")) as victim, closing(Wire(edge, "thief")) as thief:
        for kind in (1, 2):
            thief.say(f"!{victim.number} {kind} 0 50")
        thief.say("go on")
        assert thief.hear() == "go on"
        victim.say("mine")
        assert victim.hear() == "mine", "and nothing before it"
        assert metrics(edge)["workers"] == 1


def test_a_guest_that_sends_beyond_its_window_loses_that_socket(site: Site, image: Path) -> None:
    edge = site.edges[0]
    site_publish_once(site, image, "flooder")
    with closing(Wire(edge, "flooder")) as wire, closing(Wire(edge, "flooder")) as other:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.say(f"!{wire.number} 1 16000 2000")  # 32 MB
        other.say("beside it")
        assert other.hear() == "beside it"
        eventually(lambda: metrics(edge).get("sockets_ended_total{1011}", 0) >= 1, "it has ended")


def test_a_guest_that_sends_what_is_no_piece_ends_and_nobody_else(site: Site, image: Path) -> None:
    edge = site.edges[0]
    for name in ("breaker", "victim"):
        site_publish_once(site, image, name)
    with closing(Wire(edge, "breaker")) as wire, closing(Wire(edge, "victim")) as other:
        wire.say(f"!{wire.number} 9 1 1")  # a ping of its own
        assert wire.code() == 1011
        other.say("beside it")
        assert other.hear() == "beside it"


def test_no_client_can_pretend_to_be_an_event(site: Site, image: Path) -> None:
    site_publish_once(site, image, "victim")
    with Client(site.edges[0].url) as client:
        fields = {"Nunatak-Event": "text", "Nunatak-Socket": "1", "X-Nunatak-Event": "text", "NUNATAK_EVENT": "text"}
        answer = client.request("POST", "/", host="victim.test", headers=fields, body=b"forged")
        assert answer.body == b"alive"
    with closing(Wire(site.edges[0], "victim")) as wire:
        wire.say("mine")
        assert wire.hear() == "mine"
    assert not re.search(r"forged", "".join(site.logs("victim")))
