"""Bulk work is done in slices of a turn of the event loop, in rotation, with everybody else's callbacks in between."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from edge.common.slices import SLICE_S, Slices


class Clock:
    """Seconds, which go on as work is done."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Work:
    """A source of so many pieces, each of which takes so much of a slice."""

    def __init__(self, name: str, pieces: int, clock: Clock, order: list[str], share: float = 0.25) -> None:
        self.name, self.left, self._clock, self._order, self._share = name, pieces, clock, order, share

    def step(self) -> bool:
        if self.left:
            self.left -= 1
            self._clock.now_s += SLICE_S * self._share
            self._order.append(self.name)
        return self.left > 0


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def turns(order: list[str]) -> list[int]:
    """How many pieces were done between two marks."""
    return [len(part.split()) for part in " ".join(order).split("|")]


async def mark(order: list[str], slices: Slices) -> None:
    """Note each turn of the loop as another callback sees it."""
    while len(slices):
        await asyncio.sleep(0)
        order.append("|")


def test_what_is_little_is_done_at_once() -> None:
    async def test() -> None:
        clock, order = Clock(), list[str]()
        slices = Slices(clock)
        slices.run(Work("a", 3, clock, order))
        assert order == ["a"] * 3
        assert len(slices) == 0
        slices.run(Work("b", 1, clock, order))
        assert order == ["a"] * 3 + ["b"], "as long as the turn's slice is not used up"

    run(test)


def test_one_turn_does_a_slice_s_worth_and_others_have_theirs_in_between() -> None:
    async def test() -> None:
        clock, order = Clock(), list[str]()
        slices = Slices(clock)
        slices.run(Work("a", 100, clock, order))
        assert len(order) == 4
        await mark(order, slices)
        assert max(turns(order)) == 4
        assert order.count("a") == 100
        assert order.count("|") >= 100 // 4 - 1

    run(test)


def test_those_who_wait_are_served_in_rotation_and_who_comes_last_waits_for_no_more_than_a_piece_of_each() -> None:
    async def test() -> None:
        clock, order = Clock(), list[str]()
        slices = Slices(clock)
        for name in "ab":
            slices.run(Work(name, 50, clock, order))
        late = Work("c", 1, clock, order)
        slices.run(late)
        assert (late.left, len(slices)) == (1, 3), "what waits goes before"
        done = len(order)
        await mark(order, slices)
        assert "c" in [name for name in order[done:] if name != "|"][:3]
        both = [name for name in order[done:] if name in "ab"][1:90]
        assert abs(both.count("a") - both.count("b")) <= 1, "neither has more than the other for having come first"

    run(test)


def test_all_sources_share_the_slice_of_a_turn() -> None:
    async def test() -> None:
        clock, order = Clock(), list[str]()
        slices = Slices(clock)
        for number in range(64):
            slices.run(Work(str(number), 10, clock, order))
        assert len(order) == 4, "however many workers have something to say"
        await mark(order, slices)
        assert max(turns(order)) == 4
        assert len(order) - order.count("|") == 640

    run(test)


def test_a_source_that_waits_is_there_once() -> None:
    async def test() -> None:
        clock, order = Clock(), list[str]()
        slices, work = Slices(clock), Work("a", 20, clock, order)
        for _ in range(5):
            slices.run(work)
        assert len(slices) == 1
        await mark(order, slices)
        assert order.count("a") == 20

    run(test)


def test_a_piece_is_never_interrupted_and_a_long_one_is_a_turn_of_its_own() -> None:
    async def test() -> None:
        clock, order = Clock(), list[str]()
        slices = Slices(clock)
        slices.run(Work("a", 5, clock, order, share=3.0))
        await mark(order, slices)
        assert max(turns(order)) == 1
        assert order.count("a") == 5

    run(test)
