"""Owners of keys: the same for all, moved by nobody but who comes and goes, shared by weight, and never overloaded."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.peers.placement import BOUND, FREE_SENT, WINDOW, Hot, Loads, Member, Owners, Place, place, service_key

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


HERE = "here"  # an edge that owns nothing of what it is asked


def sent(loads: Loads, *owners: str, why: str = "owner") -> str:
    """Where one more request goes, which is counted."""
    at = place(owners, HERE, kept=False, hot=why == "hot", fits=loads.fits)
    loads.placed(owners, at)
    return at.member


@given(st.lists(st.integers(1, 100), min_size=8, max_size=8), st.integers(0, 1 << 32))
@settings(max_examples=15, deadline=None)
def test_no_member_is_sent_more_than_its_bound(wishes: list[int], seed: int) -> None:
    loads, found = Loads([Member(name) for name in "abcdefgh"]), Counter[str]()
    for name in random.Random(seed).choices("abcdefgh", wishes, k=4000):
        chosen = next(each for each in [name, *"abcdefgh"] if loads.fits(each))  # somebody always fits
        found[sent(loads, chosen)] += 1
    assert max(found.values()) <= BOUND * 4000 / 8 + WINDOW


@pytest.mark.parametrize("count", [2, 8, 32, 100])
def test_the_bound_holds_in_a_pop_of_any_size_from_its_first_window_on(count: int) -> None:
    """One service has them all, on an edge that sees no more than its part of a POP's requests."""
    loads = Loads([Member(f"edge-{number}") for number in range(count)])
    for window in range(1, 4):
        found = Counter(sent(loads, "edge-0") for _ in range(WINDOW * count))
        assert FREE_SENT * WINDOW <= found["edge-0"] <= BOUND * WINDOW + 1, window


def test_the_first_requests_are_bound_by_nothing() -> None:
    """Those for one cold page come to one edge, however many they are at once; by weight, as all else is."""
    for name, free in (("large", 7 * WINDOW // 8), ("small", WINDOW // 8)):
        loads = Loads([Member("large", 7.0), Member("small", 1.0)])
        assert [sent(loads, name) for _ in range(free)] == [name] * free
    assert sent(loads, "small") == HERE


@pytest.mark.parametrize("why", ["owner", "hot"])
def test_what_is_served_where_it_comes_to_is_a_load_of_all(why: str) -> None:
    """So a member gets less of what it owns where half of all requests are for a hot service."""
    loads, found, whole = Loads([Member(name) for name in "abcd"]), Counter[str](), 8 * WINDOW * 4
    for number in range(whole):
        found[sent(loads, "a") if number % 2 else sent(loads, "bcd"[number // 2 % 3], why=why)] += 1
    assert found["a"] + found[HERE] / 4 == pytest.approx(BOUND * whole / 4, rel=0.12)
    assert (found[HERE] >= whole / 2) is (why == "hot")


def test_who_is_sent_no_more_still_serves_what_comes_to_it_by_itself() -> None:
    """Its own clients have a quarter of what it turned away, so the others leave room for that."""
    loads = Loads([Member(name) for name in "abcd"])
    found = Counter[str]()
    for number in range(3 * WINDOW * 4):
        found[sent(loads, "a", "b") if number % 2 else sent(loads, "cd"[number // 2 % 2])] += 1
    whole = found.total()
    wanted = whole / 2
    assert found["a"] + (wanted - found["a"]) / 4 == pytest.approx(BOUND * whole / 4, rel=0.1)


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
        (True, True, "", Place("here", "hot")),
        (True, False, "", Place("here", "kept")),
        (False, True, "", Place("here", "hot")),
        (False, False, "", Place("one", "owner")),
        (False, False, "one", Place("two", "second")),
        (False, False, "one two", Place("here", "none")),
    ],
)
def test_where_a_request_is_served(kept: bool, hot: bool, dead: str, expected: Place) -> None:
    assert place(("one", "two"), "here", kept=kept, hot=hot, fits=lambda each: each not in dead.split()) == expected
