"""When is a source asked in its turn, when last, and when is a second one asked beside it?"""

from typing import get_args

import pytest

from edge.sources.health import FAILURES_MAX, PAUSE_FIRST_S, PAUSE_MAX_S, TABLE, Event, Health, State, pause_s
from edge.sources.hedging import (
    KNOWN_MIN,
    PATIENCE_FIRST_S,
    PATIENCE_MIN_S,
    SAVED_MAX,
    WINDOW,
    Hedging,
)


def failed(health: Health, times: int, at_s: float = 0.0) -> None:
    for _ in range(times):
        health.failed("away", at_s, 0.0)


def test_the_table_has_all_that_can_happen() -> None:
    possible = {(state, event) for state in get_args(State) for event in get_args(Event)}
    assert possible - TABLE.keys() == {("well", "pause over"), ("on trial", "pause over")}
    assert set(TABLE.values()) == set(get_args(State))


def test_one_failure_changes_nothing_and_a_success_forgets_it() -> None:
    health = Health()
    failed(health, FAILURES_MAX - 1)
    assert (health.in_turn(0.0), health.error) == (True, "away")
    health.succeeded()
    failed(health, FAILURES_MAX - 1)
    assert (health.state, health.in_turn(0.0)) == ("well", True)


def test_after_some_failures_it_is_asked_last_until_one_may_try() -> None:
    health = Health()
    failed(health, FAILURES_MAX)
    assert (health.state, health.in_turn(1.9), health.in_turn(2.0)) == ("resting", False, True)
    health.begin(2.0)
    assert (health.state, health.in_turn(2.0)) == ("on trial", False), "one try, not all at once"
    health.failed("still", 2.0, 0.0)
    assert (health.state, health.until_s) == ("resting", 2.0 + pause_s(FAILURES_MAX + 1, 0.0))
    health.begin(health.until_s)
    health.succeeded()
    assert (health.state, health.failures, health.in_turn(0.0)) == ("well", 0, True)


def test_a_try_that_is_given_up_leaves_its_place_to_the_next() -> None:
    health = Health()
    failed(health, FAILURES_MAX)
    health.begin(50.0)
    health.given_up(51.0)
    assert (health.state, health.in_turn(51.0)) == ("resting", True)


def test_a_resting_one_that_was_asked_last_and_gave_it_is_well() -> None:
    health = Health()
    failed(health, FAILURES_MAX)
    health.begin(0.0)
    health.succeeded()
    assert health.in_turn(0.0)


def test_failures_of_one_that_is_asked_last_prolong_nothing() -> None:
    """Else a source that is asked for what nobody has is never tried again."""
    health = Health()
    failed(health, FAILURES_MAX)
    until_s = health.until_s
    failed(health, 50, at_s=until_s - 0.1)
    assert health.until_s == until_s


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_pauses_grow_differ_and_end(chance: float) -> None:
    pauses = [pause_s(failures, chance) for failures in range(FAILURES_MAX, 40)]
    assert pauses == sorted(pauses)
    assert PAUSE_FIRST_S <= pauses[0] < pauses[-1] <= PAUSE_MAX_S
    assert pauses[-1] == PAUSE_MAX_S * (1 - chance / 2)


def test_patience_is_what_nearly_all_took() -> None:
    hedging = Hedging()
    for _ in range(KNOWN_MIN - 1):
        hedging.began(0.2)
    assert hedging.patience_s == PATIENCE_FIRST_S
    for took_s in range(WINDOW):
        hedging.began(took_s / WINDOW)
    assert hedging.patience_s == 0.95, "of the last hundred alone"
    for _ in range(WINDOW):
        hedging.began(0.0)
    assert hedging.patience_s == PATIENCE_MIN_S


def test_hedges_are_a_tenth_of_all_fetches() -> None:
    hedging = Hedging()
    assert [hedging.take() for _ in range(int(SAVED_MAX) + 1)] == [True] * int(SAVED_MAX) + [False]
    taken = 0
    for _ in range(1000):
        hedging.fetching()
        taken += hedging.take()
    assert 99 <= taken <= 100
