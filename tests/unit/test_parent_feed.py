"""What does a parent give on of a feed, without keys to judge it by?"""

import asyncio
import json
from collections.abc import Callable

import pytest

from edge.common.counters import Counters
from edge.parent.feed import FAR, ParentFeed, number_of


def event(number: object) -> bytes:
    return json.dumps({"signatures": [], "signed": {"seq": number}}).encode()


def played(play: Callable[[ParentFeed], None]) -> tuple[int, list[int]]:
    """The last number, and those that one finds who comes then and knows the one before the first that is kept."""

    async def run() -> tuple[int, list[int]]:
        feed = ParentFeed(["http://127.0.0.1:1"], Counters())
        play(feed)
        answer = await feed.relay.log(_Asked())  # type: ignore[arg-type]  # it reads the query alone
        await feed.close()
        assert isinstance(answer.body, bytes)
        return feed.relay.last, [number_of(line) or 0 for line in answer.body.splitlines()]

    return asyncio.run(run())


class _Asked:
    def __init__(self) -> None:
        self.query = {"after": "4"}


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "7", None, 1 << 60])
def test_numbers_that_are_none(number: object) -> None:
    assert number_of(event(number)) is None
    assert number_of(b"{") is None
    assert number_of(b"[" * 99999) is None


def test_each_event_once_and_in_order() -> None:
    def play(feed: ParentFeed) -> None:
        for number in (5, 6, 6, 5, 7):
            feed.take(event(number))
        feed.take(b"no event")

    assert played(play) == (7, [5, 6, 7])


def test_a_number_that_was_a_lie_is_forgotten_at_the_next_true_one() -> None:
    def play(feed: ParentFeed) -> None:
        feed.take(event(5))
        feed.take(event(10 * FAR))
        feed.take(event(5))
        feed.take(event(6))

    assert played(play) == (6, [5, 6])
