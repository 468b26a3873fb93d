"""Names that the catalogue did not have a moment ago: found once they are published, and cheap while they are not."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from edge.catalogue.directory import BUSY_MAX_S, LOOKS, REPEATED_LOOKS, Directory
from edge.common.counters import Counters
from vmimage.errors import OriginBusy, UnknownService
from vmimage.trust import ServiceRecord


def record(service: str) -> ServiceRecord:
    return ServiceRecord(service, (f"{service}.test",), "sha256:" + "0" * 64, 100, 1)


class Origin:
    """A catalogue that is what was published before its last refresh began."""

    expired = False

    def expiries(self) -> dict[str, datetime]:
        return {}

    def __init__(self) -> None:
        self.published: set[str] = set()
        self.known: set[str] = set()
        self.refreshes = 0
        self.busy = 0.0  # seconds after which it wants to be asked again
        self.go_on = threading.Event()  # cleared: a refresh that has begun does not end
        self.begun = threading.Event()
        self.go_on.set()

    def refresh(self) -> bool:
        self.refreshes += 1
        if self.busy:
            raise OriginBusy("x", self.busy)
        seen = set(self.published)
        self.begun.set()
        self.go_on.wait(10)
        changed, self.known = seen != self.known, seen
        return changed

    def find_service(self, name: str) -> ServiceRecord | None:
        return record(name) if name in self.known else None

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        return None

    def find_host(self, host: str) -> ServiceRecord | None:
        return self.find_service(host.removesuffix(".test"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        self.now += 1e-6  # no two calls at once
        return self.now


def run(test: Callable[[Origin, Directory, Clock], Awaitable[None]]) -> None:
    async def scenario() -> None:
        origin, clock = Origin(), Clock()
        directory = Directory(origin, Counters(), 60, clock=clock)
        await test(origin, directory, clock)
        directory.close()

    asyncio.run(scenario())


async def is_known(directory: Directory, name: str) -> bool:
    try:
        return (await directory.find("service", name)).name == name
    except UnknownService:
        return False


def test_a_name_is_found_whatever_was_looked_at_just_before() -> None:
    async def test(origin: Origin, directory: Directory, _: Clock) -> None:
        for number in range(15):
            origin.published.add(f"new-{number}")
            assert await is_known(directory, f"new-{number}")

    run(test)


def test_a_name_that_was_asked_for_too_early_is_found_once_it_is_published() -> None:
    async def test(origin: Origin, directory: Directory, _: Clock) -> None:
        assert not await is_known(directory, "late")
        origin.published.add("late")
        assert await is_known(directory, "late")

    run(test)


def test_a_look_that_began_before_a_request_does_not_refuse_it() -> None:
    async def test(origin: Origin, directory: Directory, _: Clock) -> None:
        origin.go_on.clear()
        early = asyncio.create_task(is_known(directory, "name"))
        await asyncio.to_thread(origin.begun.wait, 10)
        origin.published.add("name")  # after this look saw what there was
        late = [asyncio.create_task(is_known(directory, "name")) for _ in range(20)]
        await asyncio.sleep(0)
        origin.go_on.set()
        assert (await early, await asyncio.gather(*late)) == (False, [True] * 20)
        assert origin.refreshes == 2

    run(test)


def test_what_waits_at_once_shares_a_look() -> None:
    async def test(origin: Origin, directory: Directory, _: Clock) -> None:
        assert not any(await asyncio.gather(*(is_known(directory, f"none-{n}") for n in range(200))))
        assert origin.refreshes <= 2

    run(test)


def test_unknown_names_one_after_the_other_cost_the_origin_a_bounded_number_of_looks() -> None:
    async def test(origin: Origin, directory: Directory, clock: Clock) -> None:
        for number in range(int(LOOKS.burst)):  # the next one would wait for its look
            assert not await is_known(directory, f"none-{number}")
        assert origin.refreshes == LOOKS.burst
        clock.now += 10
        for expected in (REPEATED_LOOKS.burst, 3 * REPEATED_LOOKS.per_s):
            before = origin.refreshes
            for _ in range(200):
                assert not await is_known(directory, "none-0")
            assert origin.refreshes - before == expected
            clock.now += 3

    run(test)


def test_an_origin_that_is_busy_is_left_alone_as_long_as_it_asks() -> None:
    """Names that are asked for meanwhile do not bring it more to do; and for ever it cannot ask."""

    async def test(origin: Origin, directory: Directory, clock: Clock) -> None:
        origin.published.add("name")
        origin.busy = 20.0
        for number in range(3):
            with pytest.raises(OriginBusy) as refused:
                await directory.find("service", f"name-{number}")
            assert 19.9 < refused.value.wait_s <= 20
        assert origin.refreshes == 1
        origin.busy = 1e9
        clock.now += 20
        with pytest.raises(OriginBusy):
            await directory.find("service", "name")
        origin.busy = 0.0
        clock.now += BUSY_MAX_S
        assert await directory.refresh()
        assert origin.refreshes == 3

    run(test)
