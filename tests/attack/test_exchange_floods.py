"""Guests that begin exchanges without end: what is begun and held for them has bounds by tenant.

Real upstreams that say nothing; what another tenant gets meanwhile is what it got before.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from edge.common.allowance import EXCHANGES
from edge.common.counters import Counters
from edge.config.upstream_policy import UpstreamPolicy
from edge.devices.upstreams import CONNECTIONS_EACH, Upstreams
from edge.model.flow import Patience
from edge.vmm.wire.streams import Body, Credit, Reset, Subrequest
from tests.attack.flooding import Worker, machine, run
from tests.support.quiet import others, tasks_done
from vmimage import abi

BIT = abi.EXCHANGE_BIT


class Upstream:
    """An upstream that takes requests and says nothing until it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []  # paths, in the order they came
        self.going = asyncio.Event()
        self._more = asyncio.Condition()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its URL."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield "http://{}:{}".format(*server.sockets[0].getsockname())

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        async with self._more:
            self.asked.append(head.split()[1].decode())
            self._more.notify_all()
        await self.going.wait()
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async def has(self, count: int) -> None:
        """Until so many were asked."""
        async with self._more:
            await asyncio.wait_for(self._more.wait_for(lambda: len(self.asked) >= count), 30)


def ask_for(url: str) -> bytes:
    return b"Method\0GET\0URL\0" + url.encode() + b"\0\0"


def begin(upstreams: Upstreams, guest: Any, number: int, url: str = "http://192.0.2.1", *, ended: bool = True) -> None:
    upstreams.on_subrequest(guest, Subrequest(guest.number, BIT | number, ended, ask_for(url)))


def reset(upstreams: Upstreams, guest: Any, number: int) -> None:
    upstreams.on_abort(guest, Reset(guest.number, BIT | number))


@pytest.mark.usefixtures("time_stands")
def test_exchanges_begun_and_dropped_make_no_task_and_are_counted_by_tenant() -> None:
    async def test() -> None:
        counters, worker = Counters(), Worker()
        upstreams = Upstreams(UpstreamPolicy.parse(""), 1, Patience(1, 1), counters)
        evil, other_of_evil, victim = (machine(n, t, worker) for n, t in enumerate(("mallory", "mallory", "alice")))
        burst, pairs = int(EXCHANGES.burst), 2000
        for number in range(pairs):
            begin(upstreams, evil, number)
            reset(upstreams, evil, number)
        assert others() == set()
        await asyncio.sleep(0)
        assert worker.take(Reset) == [], "what it dropped itself it is not told of"
        assert counters.upstream_requests == {"abandoned": burst, "too_many": pairs - burst}
        assert upstreams.of(evil) == {}

        begin(upstreams, other_of_evil, 1)
        await asyncio.sleep(0)
        (told,) = worker.take(Reset)
        assert (told.machine, told.stream) == (other_of_evil.number, BIT | 1), (
            "all machines of a tenant have one allowance"
        )
        assert b"requests to upstreams a second" in told.reason
        begin(upstreams, victim, 1)
        await asyncio.sleep(0)
        await tasks_done()
        assert upstreams.of(victim) == {}
        assert counters.upstream_requests["refused"] == 1, "it had its turn; the operator lets nobody reach anything"

    run(test)


def test_one_tenant_has_a_share_of_the_connections_to_upstreams() -> None:
    async def test() -> None:
        worker, upstream = Worker(), Upstream()
        upstreams = Upstreams(UpstreamPolicy.parse("127.0.0.0/8"), 30, Patience(30, 30), Counters())
        each = CONNECTIONS_EACH // abi.MAX_EXCHANGES  # machines that take all of a tenant's

        def flood(url: str, guests: list[Any]) -> None:
            for guest in guests:
                guest.image.manifest.upstreams = (url,)
                for number in range(abi.MAX_EXCHANGES):
                    begin(upstreams, guest, number, f"{url}/{guest.number}")

        def arrived() -> dict[str, int]:
            return dict(Counter(upstream.asked))

        def all_of(guests: list[Any]) -> dict[str, int]:
            return {f"/{guest.number}": abi.MAX_EXCHANGES for guest in guests}

        async with upstream.serving() as url:
            evil = [machine(number, "mallory", worker) for number in range(2 * each)]
            victim = machine(99, "alice", worker)
            flood(url, evil)
            await upstream.has(CONNECTIONS_EACH)
            victim.image.manifest.upstreams = (url,)
            begin(upstreams, victim, 1, f"{url}/hers")
            await upstream.has(CONNECTIONS_EACH + 1)
            there = all_of(evil[:each]) | {"/hers": 1}
            assert arrived() == there, "hers did not wait for theirs"

            waited = evil.pop(each)
            for guest in (*evil[: each - 1], waited):
                upstreams.forget(guest)
            there |= all_of(evil[each:])
            await upstream.has(sum(there.values()))
            assert arrived() == there, "who is gone makes room, and who waited and is gone takes none"

            upstream.going.set()
            await asyncio.gather(*(e.task for guest in (*evil, victim) for e in upstreams.of(guest).values() if e.task))
            assert [upstreams.of(guest) for guest in (*evil, victim)] == [{}] * (len(evil) + 1)
            upstream.going.clear()
            again = [machine(number, "mallory", worker) for number in range(100, 100 + each)]
            flood(url, again)
            there |= all_of(again)
            await upstream.has(sum(there.values()))
            assert arrived() == there, "all places are free again"
            await upstreams.close()

    run(test)


@pytest.mark.parametrize(
    "nothing",
    [
        Credit(1, BIT | 1, 0),
        Body(1, BIT | 1, False, b""),
    ],
    ids=["credit of nothing", "body of nothing"],
)
def test_frames_that_say_nothing_are_no_sign_of_life(nothing: Body | Credit) -> None:
    async def test() -> None:
        counters, upstream = Counters(), Upstream()
        upstreams = Upstreams(UpstreamPolicy.parse("127.0.0.0/8"), 30, Patience(0.2, 0.2), counters)
        async with upstream.serving() as url:
            guest = machine(1, "mallory", Worker())
            guest.image.manifest.upstreams = (url,)
            begin(upstreams, guest, 1, url, ended=False)
            for _ in range(2000):
                upstreams.on_message(guest, nothing)
                await asyncio.sleep(0.001)
                if not upstreams.of(guest):
                    break
            assert upstreams.of(guest) == {}, "it is given up for silence"
            assert counters.upstream_requests == {"failed": 1}
            await upstreams.close()

    run(test)
