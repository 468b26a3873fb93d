"""Do tenants wait for the names and upstreams of one another, or use one another's connections?"""

import asyncio
import socket
import threading
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from edge.common.counters import Counters
from edge.config.upstream_policy import UpstreamPolicy
from edge.devices.lookups import EACH, THREADS, WAITING_EACH, Lookups
from edge.devices.upstreams import CONNECTIONS_EACH, Upstreams
from edge.model.flow import Patience
from edge.vmm.wire.messages import ToWorker
from edge.vmm.wire.streams import Body, Head, Subrequest
from tests.support.wire import to_worker
from vmimage import abi

PATIENCE_S = 20.0
REAL = socket.getaddrinfo
NUMBERS = count(1)  # of machines


class NameServers:
    """Names below evil.test are looked up until `answer`, others are this machine; how many of each were begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer = threading.Event()
        self.begun: list[str] = []
        self.all_busy = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: int, *arguments: Any, **named: Any) -> Any:
        self.begun.append(host)
        if len(self.begun) == THREADS:
            self.all_busy.set()
        if host.endswith("evil.test"):
            self.answer.wait(PATIENCE_S)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return REAL("127.0.0.1", port, *arguments, **named)


def guest(tenant: str, *upstreams: str) -> tuple[Any, list[ToWorker]]:
    sent: list[ToWorker] = []
    worker = SimpleNamespace(send=lambda data: sent.extend(to_worker(data)))
    image = SimpleNamespace(manifest=SimpleNamespace(upstreams=upstreams))
    service = SimpleNamespace(name=tenant, tenant=tenant)
    return SimpleNamespace(number=next(NUMBERS), image=image, service=service, worker=worker, streams={}), sent


def task_of(upstreams: Upstreams, guest: Any, number: int) -> "asyncio.Task[None]":
    """Of an exchange that has begun."""
    task = upstreams.of(guest)[number].task
    assert task is not None
    return task


async def serving(routes: list[web.RouteDef]) -> web.AppRunner:
    """An upstream on loopback; its port is in `addresses`."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def ask(upstreams: Upstreams, machine: Any, url: str, number: int) -> None:
    block = f"Method\0GET\0URL\0{url}/\0\0".encode()
    upstreams.on_subrequest(machine, Subrequest(1, abi.EXCHANGE_BIT | number, True, block))


def test_one_that_waits_for_its_own_names_keeps_nobody_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async def hello(_: web.Request) -> web.Response:
            return web.Response(text="hello")

        runner = await serving([web.get("/", hello)])
        good = f"http://good.test:{runner.addresses[0][1]}"
        names = [f"http://n{number}.evil.test" for number in range(2 * abi.MAX_EXCHANGES)]
        servers = NameServers(monkeypatch)
        upstreams = Upstreams(
            UpstreamPolicy.parse("public, 127.0.0.1/32"), PATIENCE_S / 2, Patience(PATIENCE_S, PATIENCE_S), Counters()
        )
        mallory, _ = guest("mallory", good, *names)
        alice, sent = guest("alice", good)
        try:
            for number, name in enumerate(names[1:]):
                ask(upstreams, mallory, name, number)
            ask(upstreams, mallory, good, len(names))  # also her name, behind all of their own
            for _ in range(20):
                await asyncio.sleep(0.01)
            stuck = list(servers.begun)
            ask(upstreams, alice, good, 1)
            await asyncio.sleep(0)
            await asyncio.wait_for(task_of(upstreams, alice, abi.EXCHANGE_BIT | 1), PATIENCE_S / 4)
            assert [type(message) for message in sent] == [Head, Body, Body]
            assert servers.begun == [*stuck, "good.test"]
            assert len(stuck) == EACH
        finally:
            servers.answer.set()
            upstreams.forget(mallory)
            await upstreams.close()
            await runner.cleanup()

    asyncio.run(test())


def test_names_that_a_tenant_waits_for_are_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        servers, lookups = NameServers(monkeypatch), Lookups(Counters())

        def find(party: str, number: int) -> "asyncio.Task[Any]":
            found = lookups.find(party, f"n{number}.evil.test", 80, socket.AF_INET)
            return lookups.tasks.spawn("lookup", found, awaited=True)

        asked = [find("mallory", number) for number in range(WAITING_EACH)]
        twice = [find("mallory", number) for number in range(WAITING_EACH)]
        await asyncio.sleep(0)
        one_more = (await asyncio.gather(find("mallory", WAITING_EACH), return_exceptions=True))[0]
        assert isinstance(one_more, OSError)
        assert "at most" in str(one_more)
        for task in asked:
            task.cancel()  # who has stopped waiting has not stopped the threads
        await asyncio.gather(*asked, return_exceptions=True)
        others = [find(f"other{number}", number) for number in range(THREADS - EACH)]
        await asyncio.to_thread(servers.all_busy.wait, PATIENCE_S)
        assert sum(host in {f"n{number}.evil.test" for number in range(EACH)} for host in servers.begun) >= EACH
        servers.answer.set()
        ended = await asyncio.gather(*twice, *others, return_exceptions=True)
        assert all(isinstance(error, socket.gaierror) for error in ended)
        assert len(servers.begun) == WAITING_EACH + THREADS - EACH, "each name once for each tenant"
        again = await asyncio.gather(find("mallory", 0), return_exceptions=True)
        assert isinstance(again[0], socket.gaierror), "all places are free again"
        await lookups.close()

    asyncio.run(asyncio.wait_for(test(), 2 * PATIENCE_S))


def test_slow_requests_to_an_upstream_keep_no_other_tenant_from_it() -> None:
    async def test() -> None:
        arrived, go_on = asyncio.Semaphore(0), asyncio.Event()

        async def slow(_: web.Request) -> web.Response:
            arrived.release()
            await go_on.wait()
            return web.Response(text="late")

        async def hello(_: web.Request) -> web.Response:
            return web.Response(text="hello")

        runner = await serving([web.get("/slow/", slow), web.get("/", hello)])
        good = f"http://127.0.0.1:{runner.addresses[0][1]}"
        upstreams = Upstreams(
            UpstreamPolicy.parse("127.0.0.1/32"), PATIENCE_S / 2, Patience(PATIENCE_S, PATIENCE_S), Counters()
        )
        mallory = [guest("mallory", good)[0] for _ in range(CONNECTIONS_EACH // abi.MAX_EXCHANGES)]
        alice, sent = guest("alice", good)
        try:
            for machine in mallory:
                for number in range(abi.MAX_EXCHANGES):
                    ask(upstreams, machine, f"{good}/slow", number)
            for _ in range(CONNECTIONS_EACH):
                await asyncio.wait_for(arrived.acquire(), PATIENCE_S / 4)
            ask(upstreams, alice, good, 1)
            await asyncio.sleep(0)
            await asyncio.wait_for(task_of(upstreams, alice, abi.EXCHANGE_BIT | 1), PATIENCE_S / 4)
            assert [type(message) for message in sent] == [Head, Body, Body]
        finally:
            go_on.set()
            for machine in mallory:
                upstreams.forget(machine)
            await upstreams.close()
            await runner.cleanup()

    asyncio.run(test())


def test_connections_that_are_kept_alive_are_used_again_by_the_same_tenant_only() -> None:
    async def test() -> None:
        peers: list[Any] = []

        async def hello(request: web.Request) -> web.Response:
            assert request.transport is not None
            peers.append(request.transport.get_extra_info("peername"))
            return web.Response(text="hello")

        runner = await serving([web.get("/", hello)])
        upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
        upstreams = Upstreams(
            UpstreamPolicy.parse("127.0.0.1/32"), PATIENCE_S / 2, Patience(PATIENCE_S, PATIENCE_S), Counters()
        )
        machines = {tenant: guest(tenant, upstream)[0] for tenant in ("mallory", "alice")}
        try:
            for number, tenant in enumerate(["mallory", "alice", "mallory", "alice"]):
                ask(upstreams, machines[tenant], upstream, number)
                await asyncio.sleep(0)
                await asyncio.wait_for(task_of(upstreams, machines[tenant], abi.EXCHANGE_BIT | number), PATIENCE_S / 4)
            mallory, alice = peers[0::2], peers[1::2]
            assert (len(mallory), len(alice)) == (2, 2)
            assert len(set(mallory)) == len(set(alice)) == 1, "the same tenant's connection is used again"
            assert not set(mallory) & set(alice)
        finally:
            await upstreams.close()
            await runner.cleanup()

    asyncio.run(test())
