"""A guest that wants to reach what it may not, through the client that really connects: numbers, names, own ports.

Where a check is taken away on purpose, the next one has to hold by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from edge.common.counters import Counters
from edge.config.upstream_policy import Guard, UpstreamPolicy
from edge.devices.upstreams import Upstreams
from edge.model.flow import Patience
from edge.vmm.wire.messages import ToWorker
from edge.vmm.wire.streams import Reset, Subrequest
from tests.support.wire import to_worker
from vmimage import abi

PATIENCE_S = 10.0
HOSTS = """
    127.0.0.1 2130706433 127.1 0177.0.0.1 0x7f.1 017700000001 localhost [::ffff:7f00:1] [::7f00:1] [64:ff9b::7f00:1]
    [2002:7f00:1::] 0.0.0.0 0 [::]
""".split()


class Secret:
    """A service of this machine's own that nobody may reach."""

    def __init__(self) -> None:
        self.asked = 0
        self.port = 0

    async def __aenter__(self) -> "Secret":
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(text="secret")


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 6 * PATIENCE_S))


def machine(*upstreams: str) -> tuple[Any, list[ToWorker]]:
    """A machine whose image names these upstreams, and what its worker is sent."""
    sent: list[ToWorker] = []
    worker = SimpleNamespace(send=lambda data: sent.extend(to_worker(data)))
    image = SimpleNamespace(manifest=SimpleNamespace(upstreams=upstreams))
    service = SimpleNamespace(name="evil", tenant="mallory")
    made = SimpleNamespace(number=1, image=image, service=service, worker=worker, streams={})
    return made, sent


async def ask(upstreams: Upstreams, guest: Any, url: str, number: int = 1) -> None:
    """The guest's request to `url`, until it is over."""
    block = f"Method\0GET\0URL\0{url}\0\0".encode()
    upstreams.on_subrequest(guest, Subrequest(1, abi.EXCHANGE_BIT | number, True, block))
    exchange = upstreams.of(guest)[abi.EXCHANGE_BIT | number]
    await asyncio.sleep(0)  # it begins at the end of this turn
    assert exchange.task is not None
    await asyncio.wait_for(exchange.task, PATIENCE_S)


@pytest.mark.parametrize("host", HOSTS)
def test_no_spelling_of_this_machine_is_reached(host: str) -> None:
    async def test() -> None:
        async with Secret() as secret:
            origin = f"http://{host}:{secret.port}"
            guest, sent = machine(origin)
            counters = Counters()
            upstreams = Upstreams(UpstreamPolicy.parse("public"), 2, Patience(2, 2), counters)
            await ask(upstreams, guest, origin + "/-/drain")
            await upstreams.close()
            assert secret.asked == 0
            assert [type(message) for message in sent] == [Reset]
            assert counters.upstream_requests == {"refused": 1}

    run(test)


@pytest.mark.parametrize("host", HOSTS)
def test_the_socket_is_refused_where_nobody_looked_at_the_url(host: str) -> None:
    async def test() -> None:
        guard = Guard(UpstreamPolicy.parse("public"))
        async with Secret() as secret:
            connector = aiohttp.TCPConnector(socket_factory=guard.socket)  # and the client's own resolver
            async with aiohttp.ClientSession(connector=connector) as session:
                with pytest.raises((aiohttp.ClientError, ValueError)):
                    await session.get(URL(f"http://{host}:{secret.port}/"))
            assert secret.asked == 0

    run(test)


def test_a_connection_that_was_made_all_the_same_carries_no_byte() -> None:
    async def test() -> None:
        guard = Guard(UpstreamPolicy.parse("public"))
        async with Secret() as secret:
            async with aiohttp.ClientSession(request_class=guard.request_class(str)) as session:
                with pytest.raises(aiohttp.ClientError, match="does not let guests reach"):
                    await session.get(f"http://127.0.0.1:{secret.port}/")
            assert secret.asked == 0

    run(test)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:7f00:1]"])
@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
def test_no_guest_reaches_the_listeners_of_the_edge_whatever_the_operator_opened(host: str, bound: str) -> None:
    async def test() -> None:
        async with Secret() as edge, Secret() as upstream:
            origins = [f"http://{host}:{server.port}" for server in (edge, upstream)]
            guest, sent = machine(*origins)
            upstreams = Upstreams(UpstreamPolicy.parse("public, 127.0.0.0/8, ::1/128"), 2, Patience(2, 2), Counters())
            upstreams.forbid([(bound, edge.port)])
            await ask(upstreams, guest, origins[0] + "/-/drain", 1)
            assert [type(message) for message in sent] == [Reset]
            assert edge.asked == 0
            await ask(upstreams, guest, origins[1] + "/", 2)
            await upstreams.close()
            assert upstream.asked == 1, "what is no listener of the edge is reached as before"

    run(test)
