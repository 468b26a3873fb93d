"""One piece of work for all who ask while it is under way."""

import asyncio

import pytest

from edge.common.counters import Counters
from edge.common.single_flight import SingleFlight
from edge.common.tasks import Tasks


class Works:
    """Counts how often work was begun, and ends it when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()

    async def work(self) -> int:
        self.begun += 1
        number = self.begun
        await self.may_end.wait()
        return number


def flight() -> SingleFlight[str, int]:
    return SingleFlight(Tasks(Counters()), "work")


def test_all_who_ask_meanwhile_get_what_one_work_gives_and_the_next_begins_anew() -> None:
    async def scene() -> None:
        flights, works = flight(), Works()
        asked = [asyncio.create_task(flights.do("a", works.work)) for _ in range(5)]
        await asyncio.sleep(0)
        assert list(flights) == ["a"]
        assert "a" in flights
        assert len(flights) == 1
        works.may_end.set()
        assert await asyncio.gather(*asked) == [1] * 5
        assert not flights
        assert await flights.do("a", works.work) == 2

    asyncio.run(scene())


def test_keys_do_not_wait_for_each_other() -> None:
    async def scene() -> None:
        flights, slow, quick = flight(), Works(), Works()
        first = asyncio.create_task(flights.do("slow", slow.work))
        quick.may_end.set()
        assert await flights.do("quick", quick.work) == 1
        assert not first.done()
        slow.may_end.set()
        assert await first == 1

    asyncio.run(scene())


def test_one_who_is_cancelled_takes_nothing_from_the_others() -> None:
    async def scene() -> None:
        flights, works = flight(), Works()
        leaves, stays = (asyncio.create_task(flights.do("a", works.work)) for _ in range(2))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.sleep(0)
        works.may_end.set()
        assert await stays == 1
        assert leaves.cancelled()
        assert works.begun == 1

    asyncio.run(scene())


def test_a_failure_is_everybodys_and_is_not_remembered() -> None:
    async def scene() -> None:
        flights, gate, tries = flight(), asyncio.Event(), 0

        async def fails_once() -> int:
            nonlocal tries
            tries += 1
            await gate.wait()
            if tries == 1:
                raise OSError("away")
            return tries

        asked = [asyncio.create_task(flights.do("a", fails_once)) for _ in range(3)]
        await asyncio.sleep(0)
        gate.set()
        for one in asked:
            with pytest.raises(OSError, match="away"):
                await one
        assert await flights.do("a", fails_once) == 2

    asyncio.run(scene())


def test_cancelled_as_a_whole_nobody_is_left_waiting() -> None:
    async def scene() -> None:
        flights, works = flight(), Works()
        asked = [asyncio.create_task(flights.do(key, works.work)) for key in "ab"]
        await asyncio.sleep(0)
        flights.cancel()
        await asyncio.wait(asked)
        assert all(one.cancelled() for one in asked)
        assert not flights

    asyncio.run(scene())
