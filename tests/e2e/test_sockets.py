"""WebSockets through a whole edge: taken by workers, held across a park, ended with what knows them, bounded.

What a client says that is no WebSocket is in `tests/attack/test_socket_frames.py`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site, example
from tests.support.edges import PATIENCE_S, eventually, metrics, raw

WORKER = Path(__file__).parent / "workers" / "sockets.js"
Open = Callable[[str], Awaitable[ClientWebSocketResponse]]
SMALL = {"refresh": 0.2, "service_sockets": 2, "socket_ping": 1, "socket_idle": 3, "socket_message": 1000}


@pytest.fixture(scope="module")
def worker(site: Site) -> Path:
    """The image of it."""
    return site.build(WORKER, name="sockets")


@pytest.fixture(scope="module")
def service(site: Site, worker: Path) -> str:
    site.publish(worker, "ws-shared")
    return "ws-shared"


def play(edge: Server, service: str, scene: Callable[[Open], Awaitable[None]]) -> None:
    """A scene with clients of one service."""

    async def run() -> None:
        timeout = aiohttp.ClientWSTimeout(ws_close=PATIENCE_S)
        async with aiohttp.ClientSession() as session:

            async def connect(path: str) -> ClientWebSocketResponse:
                return await session.ws_connect(
                    f"{edge.url}{path}", headers={"Host": f"{service}.test"}, timeout=timeout, max_msg_size=0
                )

            async with asyncio.timeout(3 * PATIENCE_S):
                await scene(connect)

    asyncio.run(run())


async def closed(socket: ClientWebSocketResponse) -> int | None:
    """Read on to the end; the close code."""
    while (await socket.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR):
        pass
    return socket.close_code


def told(edge: Server, service: str) -> dict[str, list[str]]:
    """What the worker was told of its sockets' ends since it was last asked, and which it has."""
    with Client(edge.url) as client:
        return dict(json.loads(client.get("/log", host=f"{service}.test").body))


def test_messages_come_back_as_they_were(site: Site, service: str) -> None:
    async def scene(connect: Open) -> None:
        socket = await connect("/echo?name=echo")
        for message in ("text", "", "grüße €", "x" * 200_000):
            await socket.send_str(message)
            assert await socket.receive_str() == message
        for data in (b"", bytes(range(256)), b"\xff" * 70_000):
            await socket.send_bytes(data)
            assert await socket.receive_bytes() == data
        for number in range(50):  # more at once than are taken at a time
            await socket.send_str(str(number))
        assert [await socket.receive_str() for _ in range(50)] == [str(number) for number in range(50)]
        await socket.close(code=3001, message="für heute".encode())
        assert socket.close_code == 3001

    play(site.edges[0], service, scene)
    eventually(lambda: "echo 3001 für heute true" in told(site.edges[0], service)["log"], "the worker is told")


def test_what_is_sent_before_the_answer_arrives_though_the_machine_was_cold(site: Site, worker: Path) -> None:
    """The answer then takes a longer way than what follows it."""
    site.publish(worker, "ws-cold")

    async def scene(connect: Open) -> None:
        for _ in range(2):
            first = await connect("/first")
            assert await first.receive_str() == "before the answer"
            assert await first.receive_str() == "and more"
            await asyncio.to_thread(site.park, "ws-cold", site.edges[0])

    play(site.edges[0], "ws-cold", scene)


def test_what_a_worker_can_do_with_one(site: Site, service: str) -> None:
    async def scene(connect: Open) -> None:
        first = await connect("/first")
        assert await first.receive_str() == "before the answer"
        attached = await connect("/attach")
        await attached.send_str("")
        assert await attached.receive_str() == "kept 1 0"
        blob = await connect("/blob")
        await blob.send_bytes(b"of bytes")
        assert await blob.receive_str() == "of bytes"
        later = await connect("/later")
        await later.send_str("on")
        assert await later.receive_str() == "later on"
        throws = await connect("/throws")
        await throws.send_str("throw")
        await throws.send_str("and go on")
        assert await throws.receive_str() == "and go on"
        for code, reason in ((1000, "done"), (4999, "")):
            closes = await connect("/close")
            await closes.send_str(json.dumps([code, reason]))
            message = await closes.receive()
            assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, reason or None) or (
                message.data == code and not reason
            )

    play(site.edges[0], service, scene)


def test_a_client_that_reads_later_gets_all_of_it_in_order(site: Site, service: str) -> None:
    async def scene(connect: Open) -> None:
        socket = await connect("/flood")
        await socket.send_str("150")  # 2.4 MB: more than the window and the sockets' buffers
        await asyncio.sleep(0.3)
        parts = [await socket.receive_bytes() for _ in range(150)]
        assert parts == [bytes([number % 256]) * 16384 for number in range(150)]
        large = await connect("/large")
        await large.send_str("2000000")
        assert len(await large.receive_str()) == 2_000_000

    play(site.edges[0], service, scene)


def test_a_socket_outlives_a_park_and_wakes_its_machine(site: Site, worker: Path) -> None:
    edge, name = site.edges[0], "ws-parked"
    site.publish(worker, name)

    async def scene(connect: Open) -> None:
        counts, hub = await connect("/count?name=a"), await connect("/hub?name=b")
        await counts.send_str("")
        assert await counts.receive_str() == "1"
        parks = metrics(edge)["parks_total"]
        await asyncio.to_thread(site.park, name, edge)
        assert metrics(edge)["parks_total"] == parks + 1, "two open sockets keep no machine"
        await counts.send_str("")
        assert await counts.receive_str() == "2", "its state goes on"
        await asyncio.to_thread(site.park, name, edge)
        await hub.send_str("to all")
        assert (await counts.receive_str(), await hub.receive_str()) == ("to all", "to all")
        await asyncio.to_thread(site.park, name, edge)
        with Client(edge.url) as client:
            assert client.get("/say", host=f"{name}.test").tier == "parked"
        assert (await counts.receive_str(), await hub.receive_str()) == ("said", "said")
        await asyncio.to_thread(site.park, name, edge)
        await counts.close()

    play(edge, name, scene)
    eventually(lambda: told(edge, name)["open"] == [], "both have left")


def test_sockets_end_with_the_version_that_knows_them(site: Site, worker: Path) -> None:
    """And the version after it, of several machines, may have none."""
    edge, name = site.edges[0], "ws-replaced"
    site.publish(worker, name)
    pool = site.build(WORKER, "--pool", "2", name="sockets-pool")

    async def scene(connect: Open) -> None:
        first, second = await connect("/echo?name=a"), await connect("/echo?name=b")
        await asyncio.to_thread(site.park, name, edge)
        await asyncio.to_thread(site.publish, pool, name)
        assert [*await asyncio.gather(closed(first), closed(second))] == [1012, 1012]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await connect("/echo?name=new")
        assert refused.value.status == 502

    play(edge, name, scene)
    log: list[str] = []  # of two machines

    def is_told() -> bool:
        log.extend(told(edge, name)["log"])
        return bool(log)

    eventually(is_told, "its worker is told")
    assert log == ["new 1006  false"], "and knows nothing of the old one's"


def test_sockets_end_when_their_machine_crashes(site: Site, worker: Path) -> None:
    edge, name = site.edges[0], "ws-crashed"
    site.publish(worker, name)

    async def scene(connect: Open) -> None:
        bystander, culprit = await connect("/echo"), await connect("/crash")
        await culprit.send_str("")
        assert [*await asyncio.gather(closed(culprit), closed(bystander))] == [1011, 1011]

    play(edge, name, scene)


def test_a_drained_edge_says_so_and_its_machine_learns_it_later(own_site: Site, worker: Path) -> None:
    edge, name = own_site.edges[0], "own"
    own_site.publish(worker, name)

    async def scene(connect: Open) -> None:
        socket = await connect("/echo?name=old")
        await socket.send_str("x")
        await socket.receive_str()
        stopping = asyncio.create_task(asyncio.to_thread(edge.stop))
        assert await closed(socket) == 1012
        await stopping

    play(edge, name, scene)
    own_site.restart(edge)

    async def after(connect: Open) -> None:
        socket = await connect("/echo?name=new")
        await socket.send_str("x")
        assert await socket.receive_str() == "x"
        there = await asyncio.to_thread(told, edge, name)
        assert (there["log"], there["open"]) == (["old error", "old 1006  false"], ["new"])

    play(edge, name, after)


def test_bounds_are_the_operators(tmp_path: Path, worker: Path) -> None:
    with Site(tmp_path, edge_config=SMALL) as site:
        edge, name = site.edges[0], "small"
        site.publish(worker, name)

        async def scene(connect: Open) -> None:
            first, second = await connect("/echo?name=a"), await connect("/echo?name=b")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect("/echo")
            assert refused.value.headers is not None
            assert (refused.value.status, refused.value.headers["X-Nunatak-Error"]) == (503, "sockets_full")
            await first.send_str("x" * 1001)
            ends = [*await asyncio.gather(closed(first), closed(second))]
            assert ends == [1009, 1001], "the second had no message for its time; pings it answered"
            await connect("/echo")

        play(edge, name, scene)
        ends = {key: value for key, value in metrics(edge).items() if key.startswith("sockets_ended_total")}
        assert ends["sockets_ended_total{1009}"] == 1
        heard = told(edge, name)["log"]
        assert heard[:2] == ["a error", "a 1009 a message of at most 1000 bytes expected false"]
        assert heard[2].startswith("b 1001")
        silent = raw(edge, HANDSHAKE.replace(b"ws-shared", b"small"))  # until the edge gives it up: it answers no ping
        assert b" 101 " in silent
        assert silent.endswith(b"\x89\x00")


def test_the_chat_tells_everybody_and_remembers_across_a_park(site: Site) -> None:
    edge, name = site.edges[0], "ws-chat"
    site.publish(site.build(example("chat"), name=name), name)

    async def scene(connect: Open) -> None:
        ada = await connect("/room?name=ada")
        assert json.loads(await ada.receive_str()) == {"kind": "before", "said": []}
        await ada.send_str("hello")
        await asyncio.to_thread(site.park, name, edge)
        bob = await connect("/room?name=bob")
        assert json.loads(await bob.receive_str())["said"] == [{"name": "ada", "text": "hello"}]
        await bob.close()
        heard = [json.loads(await ada.receive_str()) for _ in range(4)]
        assert [message.get("names", message.get("text")) for message in heard] == [
            ["ada"],
            "hello",
            ["ada", "bob"],
            ["ada"],
        ]

    play(edge, name, scene)
    with Client(edge.url) as client:
        assert b"new WebSocket" in client.get("/", host=f"{name}.test").body


HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: ws-shared.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def test_the_handshake_is_the_one_of_the_specification(site: Site, service: str) -> None:
    head = raw(site.edges[0], HANDSHAKE, until=b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head.lower().replace(
        b"s3pplmbitxaq9kygzzhzrbk+xoo=", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    )
    assert b"x-kind: echo" in head


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"), 426),
        ((b"Sec-WebSocket-Version: 13\r\n", b""), 400),
        ((b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"), 400),
        ((b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400),
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZQ=="), 400),
        ((b"dGhlIHNhbXBsZSBub25jZQ==", b"no base64 at all"), 400),
        ((b"GET", b"POST"), 500),  # not a WebSocket's request: the worker is asked, and has nobody to give its half to
        ((b"HTTP/1.1", b"HTTP/1.0"), 500),
        ((b"Upgrade: websocket", b"Upgrade: h2c"), 500),
        ((b"GET /echo", b"GET /plain"), 200),  # the service does not want to
        ((b"GET /echo", b"GET /echo?protocol=chat"), 502),  # it chooses what nobody named
    ],
)
def test_what_is_no_handshake_is_answered_in_http(
    site: Site, service: str, change: tuple[bytes, bytes], status: int
) -> None:
    answer = raw(site.edges[0], HANDSHAKE.replace(*change), until=b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert (b"Sec-WebSocket-Version: 13\r\n" in answer) is (status == 426)


def test_a_subprotocol_is_one_that_the_client_named(site: Site, service: str) -> None:
    offered = HANDSHAKE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: other, chat\r\n\r\n")
    head = raw(site.edges[0], offered.replace(b"GET /echo", b"GET /echo?protocol=chat"), until=b"\r\n\r\n")
    assert b"sec-websocket-protocol: chat\r\n" in head.lower()
