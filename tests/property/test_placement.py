"""Owners of keys: the same for all, moved by nobody but who comes and goes, shared by weight, and never overloaded."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.peers.placement import BOUND, FREE_SENT, Hot, Loads, Member, Owners, Place, place, service_key

KEYS = [service_key(f"service-{number}") for number in range(4000)]
ids = st.lists(st.text("abcdefgh0123456789-", min_size=1, max_size=12), min_size=1, max_size=12, unique=True)


@given(ids, st.randoms(use_true_random=False), st.binary(max_size=40))
@settings(max_examples=50, deadline=None)
def test_owners_are_two_and_depend_on_no_order(names: list[str], chance: random.Random, key: bytes) -> None:
    members = [Member(name) for name in names]
    shuffled = chance.sample(members, len(members))
    owners = Owners(members).of(key)
    assert owners == Owners(shuffled).of(key) == tuple(Owners(shuffled).ranked(key)[:2])
    assert len(set(owners)) == min(2, len(names))


@given(ids, st.binary(max_size=40))
@settings(max_examples=50, deadline=None)
def test_who_leaves_moves_its_own_keys_only(names: list[str], key: bytes) -> None:
    before = Owners(Member(name) for name in names).ranked(key)
    for gone in names:
        after = Owners(Member(name) for name in names if name != gone).ranked(key)
        assert after == [name for name in before if name != gone]


def test_a_member_that_comes_moves_about_its_share() -> None:
    eight = Owners(Member(f"edge-{number}") for number in range(8))
    nine = Owners(Member(f"edge-{number}") for number in range(9))
    moved = [key for key in KEYS if eight.of(key)[0] != nine.of(key)[0]]
    assert all(nine.of(key)[0] == "edge-8" for key in moved)
    assert len(moved) / len(KEYS) == pytest.approx(1 / 9, rel=0.15)


def test_keys_are_shared_by_weight() -> None:
    weights = {"small": 1.0, "middle": 2.0, "large": 5.0}
    owners = Owners(Member(name, weight) for name, weight in weights.items())
    first = Counter(owners.of(key)[0] for key in KEYS)
    for name, weight in weights.items():
        assert first[name] / len(KEYS) == pytest.approx(weight / 8, rel=0.12)


def test_a_list_that_says_two_things_of_one_member_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Owners([Member("a"), Member("a", 2.0)])
    for weight in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="weight"):
            Owners([Member("a", weight)])


@given(st.lists(st.integers(1, 100), min_size=8, max_size=8), st.integers(0, 1 << 32))
@settings(max_examples=15, deadline=None)
def test_no_member_is_sent_more_than_its_bound(wishes: list[int], seed: int) -> None:
    members = [Member(name) for name in "abcdefgh"]
    loads = Loads(members)
    sent: Counter[str] = Counter()
    for name in random.Random(seed).choices("abcdefgh", wishes, k=4000):
        chosen = next(each for each in [name, *"abcdefgh"] if loads.fits(each))  # somebody always fits
        loads.sent(chosen)
        sent[chosen] += 1
    assert max(sent.values()) <= BOUND * 4000 / len(members) + 1


def test_the_first_requests_are_bound_by_nothing() -> None:
    """Those for one cold page come to one edge, however many they are at once."""
    loads = Loads([Member("a"), Member("b")])
    for _ in range(FREE_SENT):
        assert loads.fits("a")
        loads.sent("a")
    assert not loads.fits("a")


def test_a_member_above_its_bound_by_its_heart_beat_gets_nothing() -> None:
    loads = Loads([Member("busy", load=160.0), Member("one", load=70.0), Member("two", load=70.0)])
    assert not loads.fits("busy")
    assert Loads([Member("busy", load=130.0), Member("one", load=85.0), Member("two", load=85.0)]).fits("busy")
    assert loads.fits("one")
    assert not loads.fits("a stranger")
    twice = Loads([Member("busy", 2.0, load=160.0), Member("one", load=80.0), Member("two", load=80.0)])
    assert twice.fits("busy"), "it has twice the weight"


def test_who_is_hot_and_for_how_long() -> None:
    hot, chance = Hot(), random.Random(1)
    said = [hot.asked("often" if chance.random() < 0.1 else f"service-{chance.randrange(1000)}") for _ in range(3000)]
    assert not any(said[:200]), "of a few requests no share follows"
    assert hot.asked("often")
    assert not hot.asked("service-1")
    for _ in range(60_000):
        hot.asked(f"service-{chance.randrange(1000)}")
    assert not hot.asked("often"), "what was, long ago, counts no more"


@pytest.mark.parametrize(
    ("kept", "hot", "dead", "expected"),
    [
        (True, True, "", Place("here", "kept")),
        (False, True, "", Place("here", "hot")),
        (False, False, "", Place("one", "owner")),
        (False, False, "one", Place("two", "second")),
        (False, False, "one two", Place("here", "none")),
    ],
)
def test_where_a_request_is_served(kept: bool, hot: bool, dead: str, expected: Place) -> None:
    assert place(("one", "two"), "here", kept=kept, hot=hot, fits=lambda each: each not in dead.split()) == expected
