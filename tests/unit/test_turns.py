"""A capacity that is shared in turn: who holds how much, who waits, and what is left after any order of events."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from edge.common.turns import Turns


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


class Holder:
    """One who takes an amount and holds it until it is let go."""

    def __init__(self, turns: Turns, party: str, amount: int, order: list[str] | None = None) -> None:
        self.has = False
        self.letting_go = asyncio.Event()
        self._turns, self._party, self._amount = turns, party, amount
        self._order = order
        self.task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        async with self._turns.taken(self._party, self._amount):
            self.has = True
            if self._order is not None:
                self._order.append(self._party)
            await self.letting_go.wait()

    async def let_go(self) -> None:
        self.letting_go.set()
        await self.task
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_does_not_fit_waits_until_it_does() -> None:
    async def test() -> None:
        turns = Turns(10)
        first, second, third = (Holder(turns, "a", amount) for amount in (6, 5, 4))
        await settle()
        assert (first.has, second.has, third.has) == (True, False, False), "the third does not overtake the second"
        assert (turns.held, turns.waiting) == (6, 2)
        await first.let_go()
        assert (second.has, third.has, turns.held) == (True, True, 9)
        await second.let_go()
        await third.let_go()
        assert (turns.held, turns.waiting, turns.held_by("a")) == (0, 0, 0)

    run(test)


def test_parties_take_turns_however_many_of_one_wait() -> None:
    async def test() -> None:
        order: list[str] = []
        turns = Turns(1)
        holders = [Holder(turns, party, 1, order) for party in ["flood"] * 50 + ["a", "b", "a"]]
        await settle()
        for _ in range(6):
            await next(holder for holder in holders if holder.has and not holder.task.done()).let_go()
        assert order[:6] == ["flood", "flood", "a", "b", "flood", "a"]
        for holder in holders:
            holder.task.cancel()
        await settle()
        assert (turns.held, turns.waiting) == (0, 0)

    run(test)


def test_a_party_that_has_all_it_may_is_passed_over() -> None:
    async def test() -> None:
        turns = Turns(10, each=4)
        greedy = [Holder(turns, "greedy", 2) for _ in range(5)]
        modest = Holder(turns, "modest", 4)
        await settle()
        assert [holder.has for holder in greedy] == [True, True, False, False, False]
        assert modest.has
        await greedy[0].let_go()
        assert [holder.has for holder in greedy] == [True, True, True, False, False]
        for holder in (*greedy, modest):
            holder.task.cancel()
        await settle()
        assert turns.held == 0

    run(test)


def test_what_could_never_fit_is_refused() -> None:
    async def test() -> None:
        with pytest.raises(ValueError, match="at most 4 expected, got 5"):
            async with Turns(10, each=4).taken("a", 5):
                pass

    run(test)


def test_now_or_not_at_all_and_room_or_not() -> None:
    turns = Turns(10, each=6)
    assert turns.take_now("a", 6)
    assert not turns.take_now("a", 1)
    assert not turns.take_now("b", 5)
    turns.take_anyway("b", 5)
    assert (turns.held, turns.held_by("b")) == (11, 5)
    turns.give_back("a", 6)
    turns.give_back("b", 5)
    assert turns.held == 0


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_events_keeps_the_bounds_and_leaves_nothing_behind(seed: int) -> None:
    async def test() -> None:
        dice, turns, holders = random.Random(seed), Turns(12, each=8), []
        for _ in range(300):
            match dice.randrange(4):
                case 0 | 1:
                    holders.append(Holder(turns, dice.choice("abc"), dice.randrange(9)))
                case 2 if holders:
                    dice.choice(holders).letting_go.set()
                case 3 if holders:
                    dice.choice(holders).task.cancel()  # while it waits, holds, or is about to
            if dice.random() < 0.5:
                await settle()
            assert turns.held <= turns.capacity
            assert all(turns.held_by(party) <= turns.each for party in "abc")
        for holder in holders:
            holder.letting_go.set()
        await asyncio.gather(*(holder.task for holder in holders), return_exceptions=True)
        await settle()
        assert (turns.held, turns.waiting) == (0, 0)
        assert all(holder.has or holder.task.cancelled() for holder in holders)

    run(test)
