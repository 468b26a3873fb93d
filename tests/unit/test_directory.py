"""Names that the catalogue did not have a moment ago: found once they are published, and cheap while they are not."""

import asyncio
import threading
import traceback
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from edge.catalogue.directory import AGAIN_S, BUSY_MAX_S, LOOKS, REPEATED_LOOKS, Directory
from edge.common.counters import Counters
from edge.model.flow import OnHold
from vmimage.errors import NunatakError, OriginBusy, OriginTimeout, UnknownService, VerificationError
from vmimage.holds import Holds
from vmimage.trust import ServiceRecord


def record(service: str) -> ServiceRecord:
    return ServiceRecord(service, (f"{service}.test",), "sha256:" + "0" * 64, 100, 1)


class Origin:
    """A catalogue that is what was published before its last refresh began."""

    expired, expired_for_s = False, 0.0

    def expiries(self) -> dict[str, datetime]:
        return {}

    def __init__(self) -> None:
        self.published: set[str] = set()
        self.known: set[str] = set()
        self.held: set[str] = set()  # names
        self.failing: dict[str, NunatakError] = {}  # what a look-up of a name meets
        self.looked_up: list[str] = []
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

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        if not ask:
            return None
        self.looked_up.append(name)
        if name in self.failing:
            raise self.failing[name]
        return record(name) if name in self.known - self.held else None

    def fetch_ahead(self) -> bool:
        return False

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        return None

    def holds(self) -> Holds:
        return Holds()

    def is_held(self, kind: str, name: str) -> bool:
        return name in self.held

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        return self.find_service(host.removesuffix(".test"), ask=ask)


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


def test_what_is_remembered_of_a_name_does_not_keep_who_asked() -> None:
    """An exception that is raised again and again gathers the frames of all that it passed through."""

    async def test(_: Origin, directory: Directory, __: Clock) -> None:
        depths = []
        for _look in range(100):
            with pytest.raises(UnknownService) as refused:
                await directory.find("service", "none")
            depths.append(len(traceback.extract_tb(refused.value.__traceback__)))
        assert max(depths[50:]) <= 2, "this test and what it calls"

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


def test_what_is_held_is_said_to_be_so_and_is_found_once_it_is_released() -> None:
    async def test(origin: Origin, directory: Directory, _: Clock) -> None:
        origin.published |= {"shop", "blog"}
        origin.held.add("shop")
        for _asked in range(3):
            with pytest.raises(OnHold):
                await directory.find("service", "shop")
        assert await is_known(directory, "blog")
        assert not await is_known(directory, "none")
        origin.held.clear()
        assert await is_known(directory, "shop")

    run(test)


FAILURES: dict[str, tuple[NunatakError, list[str]]] = {
    "what it says does not verify": (VerificationError("x"), ["a", "c"]),
    "it does not answer": (OriginTimeout("x"), ["a"]),  # nor is it asked for what may wait for as long
}


@pytest.mark.parametrize(("failure", "gone"), FAILURES.values(), ids=FAILURES)
def test_a_name_that_cannot_be_looked_up_keeps_no_change_from_the_others(
    failure: NunatakError, gone: list[str]
) -> None:
    """The catalogue says of a change once that there is one: what was not taken over then is seen to later."""

    async def test(origin: Origin, directory: Directory, clock: Clock) -> None:
        origin.published |= {"a", "b", "c"}
        for name in ("a", "b", "c"):
            assert await is_known(directory, name)
        origin.published.clear()
        origin.failing["b"] = failure
        assert await directory.refresh()
        assert sorted(directory.by_name) == [name for name in "abc" if name not in gone]
        origin.failing.clear()
        origin.looked_up.clear()
        assert not await directory.refresh()
        assert origin.looked_up == [], "not at each look"
        clock.now += AGAIN_S
        assert not await directory.refresh()
        assert not directory.by_name
        origin.looked_up.clear()
        clock.now += AGAIN_S
        assert not await directory.refresh()
        assert origin.looked_up == [], "all was said"

    run(test)
