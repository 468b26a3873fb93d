"""Frequent names: what counts say of the truth, whatever comes in whatever order, and what they take."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.common.frequent import Frequent

PLACES = 8
NAMES = st.text("abcdefghijklmnopqrstuvwxyz", max_size=400)  # a name is a letter


@settings(max_examples=100, deadline=None)
@given(NAMES)
def test_a_count_is_too_low_by_no_more_than_is_known(names: str) -> None:
    frequent, truth = Frequent(PLACES), Counter(names)
    for name in names:
        frequent.add(name)
    assert len(frequent.counts) <= PLACES
    for name, count in truth.items():
        assert count - frequent.missing <= frequent.counts.get(name, 0) <= count
    assert frequent.missing * (PLACES // 2) <= len(names), (
        "each that was taken from one was taken from half of the places"
    )


def test_who_comes_most_is_found_among_many_who_come_once() -> None:
    frequent = Frequent(PLACES)
    for number in range(10_000):
        frequent.add(f"once-{number}")
        if number % 4 == 0:
            frequent.add("often")
    assert max(frequent.counts, key=lambda name: frequent.counts[name]) == "often"


def test_what_is_halved_is_forgotten_in_the_end() -> None:
    frequent = Frequent(PLACES)
    frequent.add("a", 8)
    frequent.add("b", 1)
    seen = []
    for _ in range(5):
        frequent.halve()
        seen.append(dict(frequent.counts))
    assert seen == [{"a": 4}, {"a": 2}, {"a": 1}, {}, {}]


def test_who_is_taken_is_counted_no_longer() -> None:
    frequent = Frequent(PLACES)
    frequent.add("a", 3)
    assert (frequent.take("a"), frequent.take("a"), dict(frequent.counts)) == (3, 0, {})


@pytest.mark.parametrize("places", [1, 2, 3])
def test_few_places_are_kept_to(places: int) -> None:
    frequent = Frequent(places)
    for name in "abcabcaabbaac" * 10:
        frequent.add(name)
        assert len(frequent.counts) <= places
