"""Room that parties share: alone one has much of it, and whoever comes later finds some."""

import random

from edge.common.fair_room import SHARE, FairRoom

MOST = 1000


def taken(room: FairRoom, party: str, size: int = 1) -> int:
    """All that it can have, in such steps."""
    found = 0
    while room.take(party, size):
        found += size
    return found


def test_one_alone_has_three_quarters_and_others_find_some() -> None:
    room = FairRoom(MOST)
    assert taken(room, "greedy") == MOST * SHARE // (SHARE + 1) == 750
    later = [taken(room, f"later-{number}") for number in range(4)]
    assert later == sorted(later, reverse=True)
    assert all(later), "each finds some"
    assert not room.take("greedy")


def test_what_is_given_back_is_free_for_all() -> None:
    room = FairRoom(MOST)
    assert room.take("a", 600)
    assert not room.take("b", 400)
    room.give("a", 600)
    assert len(room) == 0
    assert taken(room, "b") == 750


def test_parties_never_have_more_than_there_is() -> None:
    chance = random.Random(1)
    room, has = FairRoom(MOST), dict.fromkeys("abcdef", 0)
    for _ in range(3000):
        party, size = chance.choice("abcdef"), chance.randrange(1, 200)
        if chance.random() < 0.6 and room.take(party, size):
            has[party] += size
        elif has[party]:
            room.give(party, has[party])
            has[party] = 0
        assert sum(has.values()) <= MOST
        assert all(each <= SHARE * MOST // (SHARE + 1) for each in has.values())
        assert len(room) == sum(map(bool, has.values()))
