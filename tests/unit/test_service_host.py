"""Whose the service host is: the catalogue decides, also later, and until it has said so nothing is served there."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from edge.catalogue.directory import Directory
from edge.common.counters import Counters
from vmimage.errors import OriginUnreachable
from vmimage.holds import Holds
from vmimage.trust import ServiceRecord

HOST = "names.test"
RELEASE = ServiceRecord("owner", (HOST,), "sha256:" + "0" * 64, 100, 1)


class Names:
    """A catalogue of one host, which can be away."""

    expired, expired_for_s = False, 0.0

    def expiries(self) -> dict[str, datetime]:
        return {}

    def __init__(self) -> None:
        self.owner: ServiceRecord | None = None
        self.away = self.changed = False
        self.asked = 0

    def refresh(self) -> bool:
        changed, self.changed = self.changed, False
        return changed

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        if not ask:
            return None
        return self.owner if self.owner and name == self.owner.service else None

    def fetch_ahead(self) -> bool:
        return False

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        return None

    def holds(self) -> Holds:
        return Holds()

    def is_held(self, kind: str, name: str) -> bool:
        return False

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        if not ask:
            return None
        self.asked += 1
        if self.away:
            raise OriginUnreachable("away")
        return self.owner if host == HOST else None

    def give(self, owner: ServiceRecord | None) -> None:
        self.owner, self.changed = owner, True


def run(test: Callable[[Names, Directory], Awaitable[None]], *, negative_s: float = 0, host: str = HOST) -> None:
    async def scenario() -> None:
        names = Names()
        directory = Directory(names, Counters(), negative_s, host)
        await test(names, directory)
        directory.close()

    asyncio.run(scenario())


def test_a_host_of_nobody_serves_names_and_the_catalogue_is_asked_once() -> None:
    async def test(names: Names, directory: Directory) -> None:
        assert not directory.names_served, "nothing before it was looked up"
        assert await asyncio.gather(*(directory.serves_names() for _ in range(50))) == [True] * 50
        assert (directory.names_served, directory.service_host, names.asked) == (True, HOST, 1)

    run(test)


def test_no_host_serves_names_where_the_operator_named_none() -> None:
    async def test(names: Names, directory: Directory) -> None:
        assert not await directory.serves_names()
        names.changed = True
        await directory.refresh()
        assert (await directory.serves_names(), names.asked) == (False, 0)

    run(test, host="")


def test_a_host_of_a_service_is_that_services(caplog: pytest.LogCaptureFixture) -> None:
    async def test(names: Names, directory: Directory) -> None:
        names.owner = RELEASE
        assert not await directory.serves_names()
        assert (directory.names_served, directory.service_host) == (False, "")

    run(test)
    assert f"event=service_host_taken host={HOST} service=owner" in caplog.text


def test_a_host_that_is_given_away_later_is_closed_with_that_look_at_the_catalogue_and_opens_again() -> None:
    async def test(names: Names, directory: Directory) -> None:
        assert await directory.serves_names()
        names.give(RELEASE)
        assert directory.names_served, "the edge has not heard of it"
        await directory.refresh()
        assert (directory.names_served, directory.service_host) == (False, "")
        names.give(None)
        await directory.refresh()
        assert (directory.names_served, directory.service_host) == (True, HOST)

    run(test)


def test_while_the_catalogue_cannot_say_nothing_is_served_by_name_and_it_is_not_pressed() -> None:
    async def test(names: Names, directory: Directory) -> None:
        assert await directory.serves_names()
        names.away = True
        names.give(RELEASE)
        await directory.refresh()
        assert not directory.names_served
        asked = names.asked
        for _ in range(50):
            with pytest.raises(OriginUnreachable):
                await directory.serves_names()
        assert (names.asked, directory.names_served, directory.service_host) == (asked, False, HOST)

    run(test, negative_s=60)


def test_it_is_asked_again_when_it_is_back() -> None:
    async def test(names: Names, directory: Directory) -> None:
        names.away = True
        with pytest.raises(OriginUnreachable):
            await directory.serves_names()
        names.away = False
        assert await directory.serves_names()

    run(test)
