"""Guests that want others' kept answers, or more of the edge's memory and time for their own than is theirs."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from edge.cache.calls import CACHE, STATUS, Owner, asked_of, place_of
from edge.cache.purges import Purge, Purges
from edge.cache.responses import Entry, Responses
from edge.common.allowance import CACHE_CALLS
from edge.common.counters import Counters
from edge.config.upstream_policy import UpstreamPolicy
from edge.devices.guest_cache import LOOKS_EACH, UNDER_WAY_SHARE, GuestCache
from edge.devices.upstreams import Upstreams
from edge.model.flow import Patience
from edge.vmm.wire.streams import Body, Credit, Head, Reset, Subrequest
from tests.attack.flooding import Worker, machine, run
from tests.support.kept_store import KeptStore
from tests.support.quiet import others, tasks_done
from vmimage import abi

BIT = abi.EXCHANGE_BIT
BUDGET = 1 << 20
ENTRY_MAX = 96 << 10
PLACE = f"{CACHE}/n/https://a.test/"


class Edge:
    """The supervisor's side of calls, with the real store, and what machines are sent."""

    def __init__(self, budget: int = BUDGET, responses: Responses | None = None) -> None:
        self.counters = Counters()
        own = Responses(budget, ENTRY_MAX, Purges(), self.counters)
        self.responses = own if responses is None else responses
        self.upstreams = Upstreams(UpstreamPolicy.parse(""), 1, Patience(5, 5), self.counters)
        self.cache = self.upstreams.own_cache = GuestCache(self.responses, self.counters)
        self._last = 0

    def begin(self, guest: Any, method: str, url: str, *, ended: bool = True, **fields: str) -> int:
        """A call's number."""
        self._last += 1
        pairs = [part for name, value in fields.items() for part in (name.replace("_", "-"), value)]
        block = "\0".join(["Method", method, "URL", url, *pairs, "", ""]).encode()
        self.upstreams.on_subrequest(guest, Subrequest(guest.number, BIT | self._last, ended, block))
        return BIT | self._last

    def send(self, guest: Any, number: int, data: bytes, *, end: bool = True) -> None:
        self.upstreams.on_message(guest, Body(guest.number, number, end, data))

    async def ask(
        self, guest: Any, method: str, url: str, body: bytes | None = None, **fields: str
    ) -> tuple[str, bytes]:
        """What came of a call, and the answer's body as far as it was sent."""
        number = self.begin(guest, method, url, ended=body is None, **fields)
        if body is not None:
            self.send(guest, number, body)
        await asyncio.sleep(0)
        await tasks_done()
        return self.told(guest, number)

    def told(self, guest: Any, number: int) -> tuple[str, bytes]:
        sent = [message for message in guest.worker.sent if getattr(message, "stream", 0) == number]
        heads = [message.payload.split(b"\0") for message in sent if isinstance(message, Head)]
        body = b"".join(message.payload for message in sent if isinstance(message, Body))
        return heads[0][3].decode() if heads else "", body

    async def put(self, guest: Any, body: bytes, url: str = PLACE, **fields: str) -> str:
        said = {STATUS: "200", "cache-control": "max-age=60", "cache-tag": "t", **fields}
        return (await self.ask(guest, "PUT", url, body, **said))[0]

    async def begin_put(self, guest: Any, url: str = PLACE) -> int:
        """The number of a call that waits for its body."""
        number = self.begin(guest, "PUT", url, ended=False, nunatak_status="200", cache_control="max-age=60")
        await asyncio.sleep(0)
        return number

    async def get(self, guest: Any, url: str = PLACE) -> tuple[str, bytes]:
        return await self.ask(guest, "GET", url)


def test_another_tenant_neither_reads_nor_forgets_nor_purges_it() -> None:
    async def test() -> None:
        edge, hers, theirs = Edge(), machine(1, "alice", Worker()), machine(2, "mallory", Worker())
        assert await edge.put(hers, b"hers") == "stored"
        assert await edge.get(theirs) == ("miss", b"")
        assert (await edge.ask(theirs, "DELETE", PLACE))[0] == "not_found"
        for what in ({"tags": ["t"]}, {"pathPrefixes": ["/"]}, {"purgeEverything": True}):
            assert (await edge.ask(theirs, "POST", CACHE, json.dumps(what).encode()))[0] == "purged"
        assert await edge.get(hers) == ("hit", b"hers")

    run(test)


def test_a_service_that_changed_hands_has_nothing_of_the_other_owner() -> None:
    """The machine of the tenant before may still be answering when the name is another's."""

    async def test() -> None:
        edge, old, new = Edge(), machine(1, "mallory", Worker()), machine(2, "alice", Worker())
        old.service = new.service
        assert old.version == new.version, "the image is the same"
        assert await edge.put(new, b"hers") == "stored"
        assert await edge.get(old) == ("miss", b"")
        assert await edge.put(old, b"bent") == "not_kept"
        assert (await edge.ask(old, "DELETE", PLACE))[0] == "not_found"
        assert (await edge.ask(old, "POST", CACHE, b'{"purgeEverything": true}'))[0] == "refused"
        assert await edge.get(new) == ("hit", b"hers")

    run(test)


def test_an_old_version_keeps_nothing_more_and_may_still_purge() -> None:
    async def test() -> None:
        edge, old = Edge(), machine(1, "alice", Worker())
        old.version = "sha256:of the version before"
        assert await edge.put(old, b"old") == "not_kept"
        assert await edge.get(old) == ("miss", b"")
        assert (await edge.ask(old, "POST", CACHE, b'{"tags": ["t"]}'))[0] == "purged"

    run(test)


def test_what_was_begun_before_a_purge_is_not_there_after_it() -> None:
    async def test() -> None:
        edge, guest = Edge(), machine(1, "alice", Worker())
        number = await edge.begin_put(guest)
        edge.responses.purge(Purge("service", guest.service.name), 0.0)
        edge.send(guest, number, b"old")
        await tasks_done()
        assert edge.told(guest, number)[0] == "stored"
        assert await edge.get(guest) == ("miss", b"")

    run(test)


async def turns() -> None:
    """So many that whoever can go on has."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_bodies_that_come_have_a_bound_by_tenant_and_are_forgotten_when_they_break_off() -> None:
    async def test() -> None:
        edge, evil, victim = Edge(), machine(1, "mallory", Worker()), machine(2, "alice", Worker())
        piece, share = bytes(16 << 10), BUDGET // UNDER_WAY_SHARE
        numbers = [await edge.begin_put(evil, f"{PLACE}{n}") for n in range(abi.MAX_EXCHANGES)]
        for number in numbers:
            edge.send(evil, number, piece, end=False)
        await turns()
        outcomes = [edge.told(evil, number)[0] for number in numbers]
        assert outcomes.count("") == share // len(piece), "so many may go on"
        assert outcomes.count("not_kept") == len(numbers) - share // len(piece)
        hers = await edge.begin_put(victim)
        edge.send(victim, hers, b"hers")
        await turns()
        assert edge.told(victim, hers)[0] == "stored", "another tenant has its own share"
        edge.upstreams.forget(evil)
        await turns()
        assert others() == set()
        assert len(edge.cache.coming) == 0
        assert len(edge.responses) == 1

    run(test)


def test_a_body_larger_than_an_answer_may_be_is_given_up_at_once() -> None:
    async def test() -> None:
        edge, guest = Edge(), machine(1, "mallory", Worker())
        number = await edge.begin_put(guest)
        for _ in range(ENTRY_MAX // (16 << 10) + 1):
            edge.send(guest, number, bytes(16 << 10), end=False)
            await turns()
        await tasks_done()
        assert edge.told(guest, number)[0] == "not_kept"
        assert (len(edge.cache.coming), edge.upstreams.of(guest)) == (0, {})

    run(test)


def test_who_takes_answers_slowly_holds_a_bounded_part_of_what_was_evicted() -> None:
    async def test() -> None:
        edge, evil = Edge(), machine(1, "mallory", Worker())
        for n in range(3):
            number = await edge.begin_put(evil, f"{PLACE}{n}")
            for part in range(6):
                edge.send(evil, number, bytes(15_000), end=part == 5)
                await turns()
            assert edge.told(evil, number)[0] == "stored"
        numbers = [edge.begin(evil, "GET", f"{PLACE}{n % 3}") for n in range(6)]
        await turns()
        outcomes = [edge.told(evil, number)[0] for number in numbers]
        assert outcomes == ["hit"] + ["miss"] * 5, "of 90,000 bytes each a share of 131,072 has one"
        edge.upstreams.forget(evil)
        await turns()
        assert others() == set()
        assert len(edge.cache.leaving) == 0

    run(test)


def test_who_breaks_calls_off_has_no_more_looks_at_the_disk_than_who_waits_for_them(tmp_path: Path) -> None:
    """A look that has begun goes on; were it nobody's, the disk would have the more of them to do."""

    async def test() -> None:
        store = KeptStore(tmp_path)
        edge, evil, goes_on = Edge(responses=store.responses), machine(1, "mallory", Worker()), threading.Event()
        pages = [f"{PLACE}{n}" for n in range(4 * LOOKS_EACH)]
        owner = Owner(evil.service.name, evil.tenant, evil.version)
        for page in pages:
            assert await edge.put(evil, b"page", page) == "stored"
            assert await edge.get(evil, page) == ("hit", b"page")
            entry = store.responses.find(asked_of(owner, place_of(page), ()))
            assert isinstance(entry, Entry)
            await store.evict(entry)
        store.thread.submit(goes_on.wait)
        for page in pages:
            number = edge.begin(evil, "GET", page)
            await turns()
            edge.upstreams.on_abort(evil, Reset(evil.number, number))
            await turns()
        goes_on.set()
        await store.close()
        assert store.counters.cache_disk == {"written": len(pages), "hit": LOOKS_EACH}
        assert len(edge.cache.looking) == 0

    run(test)


@pytest.mark.usefixtures("time_stands")
def test_calls_and_purges_are_rationed_by_tenant() -> None:
    async def test() -> None:
        edge, evil, victim = Edge(), machine(1, "mallory", Worker()), machine(2, "alice", Worker())
        burst = int(CACHE_CALLS.burst)
        for _ in range((burst + 50) // 25):
            for _ in range(25):
                edge.begin(evil, "GET", PLACE)
            await asyncio.sleep(0)
        assert edge.counters.cache_calls == {"miss": burst, "too_many": 50}
        assert len([message for message in evil.worker.sent if isinstance(message, Reset)]) == 50
        assert others() == set(), "no task for any of them"
        assert await edge.get(victim) == ("miss", b"")
        tags = json.dumps({"tags": [f"t{n}" for n in range(250)]}).encode()
        came = [(await edge.ask(victim, "POST", CACHE, tags))[0] for _ in range(burst // 250 + 1)]
        assert came == ["purged"] * (burst // 250) + ["refused"]
        assert edge.counters.purges == {"tag": burst // 250 * 250}

    run(test)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        *((method, PLACE) for method in ("PATCH", "HEAD", "OPTIONS")),
        *(
            ("GET", url)
            for url in (CACHE, f"{CACHE}/", f"{CACHE}/n/file:///etc/passwd", f"{CACHE}/../x/https://a.test/")
        ),
        ("POST", PLACE),
    ],
)
def test_what_is_no_call_is_refused_and_changes_nothing(method: str, url: str) -> None:
    async def test() -> None:
        edge, guest = Edge(), machine(1, "mallory", Worker())
        outcome, why = await edge.ask(guest, method, url)
        assert (outcome, b"expected" in why) == ("refused", True)
        assert (len(edge.responses), edge.counters.purges) == (0, {})

    run(test)


def test_without_a_budget_nothing_is_kept() -> None:
    async def test() -> None:
        edge, guest = Edge(0), machine(1, "alice", Worker())
        assert await edge.put(guest, b"page") == "not_kept"
        assert await edge.get(guest) == ("miss", b"")

    run(test)


def test_credit_is_counted_for_kept_answers_too() -> None:
    async def test() -> None:
        edge, guest = Edge(), machine(1, "mallory", Worker())
        number = await edge.begin_put(guest)
        with pytest.raises(ValueError, match="credit for what was sent expected"):
            edge.upstreams.on_message(guest, Credit(guest.number, number, 1))
        edge.upstreams.forget(guest)
        await turns()
        assert others() == set()

    run(test)
