"""The feed of an origin, measured from outside: how soon hundreds who follow it hear of a purge, and whether all do.

One process follows with many connections, so what it takes to read them is in the figures. A delay is from the sending
of the purge to its arrival: the origin's signing, keeping and sending, and the loopback.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from loadtest.site.server import Server, tree_cpu_s
from loadtest.site.site import Site

SPREAD_S: Final = (0.2, 6.0)  # before one whose stream broke comes again, as edges do
POINTS: Final = 100  # of the distribution that is written
PATIENCE_S: Final = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is done."""

    clients: int = 300
    purges: int = 40  # one by one, with a pause between them
    pause_s: float = 0.25
    sustained_s: float = 15.0  # of `rate` purges in a second
    rate: float = 10.0
    torn: int = 40  # purges, in the midst of which the origin is killed; 0: it is not


@dataclass
class Result:
    """What came of it."""

    plan: Plan
    delays_ms: list[float] = field(default_factory=list)  # sorted
    origin_cpu: float = 0.0  # of one processor, while purges are sustained
    acknowledged: int = 0
    lost: int = 0  # purges that were acknowledged, times clients that did not hear of them
    repeated: int = 0  # events that a client heard twice
    reconnects: Counter[int] = field(default_factory=Counter)  # by second after the kill

    def percentile_ms(self, share: float) -> float:
        """The delay that so many had at most."""
        return self.delays_ms[min(len(self.delays_ms) - 1, int(share * len(self.delays_ms)))]

    def to_json(self) -> dict[str, Any]:
        """All of it, with the distribution of delays as [ms, share]."""
        last = max(1, len(self.delays_ms))
        steps = sorted({min(last - 1, last * point // POINTS) for point in range(POINTS + 1)})
        return {
            "clients": self.plan.clients,
            "samples": len(self.delays_ms),
            "p50_ms": round(self.percentile_ms(0.5), 2),
            "p99_ms": round(self.percentile_ms(0.99), 2),
            "max_ms": round(self.percentile_ms(1.0), 2),
            "origin_cpu": round(self.origin_cpu, 4),
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "repeated": self.repeated,
            "reconnects_by_second": dict(sorted(self.reconnects.items())),
            "cdf": [[round(self.delays_ms[step], 2), round((step + 1) / last, 4)] for step in steps],
        }


class _Follower(asyncio.Protocol):
    """One who follows: it notes when each number came."""

    def __init__(self, bench: "_Bench") -> None:
        self._bench, self._rest = bench, b""
        self.seen: dict[int, float] = {}
        self.repeated = 0
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport, self._rest = transport, b""
        after = max(self.seen, default=self._bench.first)
        transport.write(b"GET /feed?after=%d HTTP/1.1\r\nHost: feed\r\n\r\n" % after)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"id: "):
                number = int(line[4:])
                self.repeated += number in self.seen
                self.seen.setdefault(number, now)
                self._bench.news.set()

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        self._bench.broke(self)


class _Bench:
    def __init__(self, site: Site, plan: Plan) -> None:
        self._site, self._plan = site, plan
        self._token = (site.keys / "token").read_text().strip()
        self._random = Random(1)
        self._loop = asyncio.get_running_loop()
        self._killed_at = 0.0
        self._ends = False
        self._coming: set[asyncio.Task[None]] = set()
        self.news = asyncio.Event()
        self.first = 0  # the feed's number before the first purge
        self.result = Result(plan)
        self.followers = [_Follower(self) for _ in range(plan.clients)]

    @property
    def _address(self) -> tuple[str, int]:
        parts = urlsplit(self._site.origin.url)
        return str(parts.hostname), int(parts.port or 80)

    async def follow(self) -> None:
        for follower in self.followers:
            await self._loop.create_connection(lambda follower=follower: follower, *self._address)  # type: ignore[misc]

    def broke(self, follower: _Follower) -> None:
        """A stream broke: it comes again after a time of its own."""
        if not self._ends:
            task = self._loop.create_task(self._again(follower))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    async def _again(self, follower: _Follower) -> None:
        while not self._ends:
            await asyncio.sleep(self._random.uniform(*SPREAD_S))
            try:
                await self._loop.create_connection(lambda: follower, *self._address)
            except OSError:
                continue
            self.result.reconnects[int(time.monotonic() - self._killed_at)] += 1
            return

    async def purge(self, tag: str) -> int | None:
        """The number of a purge's event; None where the origin ended before it was acknowledged."""
        purges = [{"kind": "tag", "selector": tag, "service": "", "soft": False}]
        body = json.dumps({"purges": purges}).encode()
        head = (
            f"POST /fleet/purge HTTP/1.1\r\nHost: feed\r\nAuthorization: Bearer {self._token}\r\nConnection: close\r\n"
        )
        try:
            reader, writer = await asyncio.open_connection(*self._address)
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.read()
            writer.close()
        except OSError:
            return None
        status, _, rest = answer.partition(b"\r\n")
        if b" 201 " not in status + b" ":
            return None
        return int(json.loads(rest.partition(b"\r\n\r\n")[2])["seq"])

    async def heard(self, numbers: Sequence[int]) -> None:
        """Wait until all have heard of all of these; not for ever."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self.news.clear()
            if all(number in follower.seen for follower in self.followers for number in numbers):
                return
            try:
                await asyncio.wait_for(self.news.wait(), 1.0)
            except TimeoutError:
                continue

    async def one_by_one(self) -> None:
        for turn in range(self._plan.purges):
            sent = time.monotonic()
            number = await self.purge(f"turn-{turn}")
            assert number is not None, "the origin answers"
            await self.heard([number])
            self._count([number])
            self.result.delays_ms += [1e3 * (f.seen[number] - sent) for f in self.followers if number in f.seen]
            await asyncio.sleep(self._plan.pause_s)
        self.result.delays_ms.sort()

    async def sustained(self, origin: Server) -> None:
        numbers: list[int] = []
        cpu_s, began = tree_cpu_s(origin.pid), time.monotonic()
        for turn in range(int(self._plan.sustained_s * self._plan.rate)):
            await asyncio.sleep(max(0.0, began + turn / self._plan.rate - time.monotonic()))
            number = await self.purge(f"sustained-{turn}")
            numbers += [number] if number is not None else []
        if numbers:
            await self.heard(numbers)
            self.result.origin_cpu = (tree_cpu_s(origin.pid) - cpu_s) / (time.monotonic() - began)
            self._count(numbers)

    async def torn(self, origin: Server) -> None:
        """Kill the origin while purges are on their way, and start it again."""
        numbers: list[int] = []
        half = self._plan.torn // 2
        for turn in range(self._plan.torn):
            if turn == half:
                cut = asyncio.gather(self.purge("cut"), asyncio.to_thread(origin.kill))
                self._killed_at = time.monotonic()
                number = (await cut)[0]
                await asyncio.to_thread(self._site.restart, origin)
            else:
                number = await self.purge(f"torn-{turn}")
            numbers += [number] if number is not None else []
        if numbers:
            await self.heard(numbers)
            self._count(numbers)

    def _count(self, numbers: Sequence[int]) -> None:
        self.result.acknowledged += len(numbers)
        self.result.lost += sum(number not in follower.seen for follower in self.followers for number in numbers)
        self.result.repeated = sum(follower.repeated for follower in self.followers)

    def end(self) -> None:
        self._ends = True
        for follower in self.followers:
            if follower.transport is not None:
                follower.transport.close()
        for task in self._coming:
            task.cancel()


def run_feed(folder: Path, plan: Plan, say: Say) -> Result:
    """Measure an origin of its own in `folder`."""
    with Site(folder, edges=0) as site:
        return asyncio.run(_run(site, plan, say))


async def _run(site: Site, plan: Plan, say: Say) -> Result:
    bench = _Bench(site, plan)
    try:
        await bench.follow()
        say(f"{plan.clients} follow the feed")
        await bench.one_by_one()
        say(f"{plan.purges} purges, one by one")
        await bench.sustained(site.origin)
        say(f"{plan.rate:g} purges in a second for {plan.sustained_s:g} s")
        await bench.torn(site.origin)
        say(f"{plan.torn} purges over a kill of the origin")
    finally:
        bench.end()
    return bench.result
