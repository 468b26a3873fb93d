"""Answers of upstreams are as long as they say, and what comes behind them reaches nobody."""

import asyncio

import aiohttp
import pytest

from edge.devices.upstream_answers import cut_to_size

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
SMUGGLED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"


async def two_answers(*pieces: bytes) -> tuple[list[bytes], int]:
    """Ask twice an upstream that sends this in one write each; the bodies, and how many connections it had."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with aiohttp.ClientSession(connector=cut_to_size(aiohttp.TCPConnector())) as session:
        bodies = []
        for _ in range(2):
            async with session.get(url) as answer:
                bodies.append(await answer.read())
    server.close()
    return bodies, connections


@pytest.mark.parametrize(
    ("sent", "connections"),
    [
        (HEAD + b"12345", 1),
        (HEAD + b"12345 and more", 2),
        (HEAD + b"12345" + SMUGGLED, 2),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD + b"12345 and more\r\n\r\n", 2),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\nmore", 2),
    ],
    ids=["as it says", "more", "another answer", "behind an interim one", "behind chunks"],
)
def test_an_answer_ends_where_it_says(sent: bytes, connections: int) -> None:
    assert asyncio.run(two_answers(sent)) == ([b"12345"] * 2, connections)


def test_a_body_may_hold_what_ends_a_head() -> None:
    body = b"\r\n\r\n" * 20_000
    sent = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    assert asyncio.run(two_answers(sent)) == ([body] * 2, 1)
