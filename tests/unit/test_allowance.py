"""Rations by party: so much a second, and whose turn it is, with a clock that a test turns."""

import random

import pytest

from edge.common.allowance import Allowance, Rate, Rotation


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_party_has_a_burst_and_then_its_rate() -> None:
    clock = Clock()
    allowance = Allowance(Rate(per_s=10, burst=5), clock)
    assert [allowance.take("a") for _ in range(7)] == [1, 1, 1, 1, 1, 0, 0]
    clock.now_s += 0.25
    assert [allowance.take("a") for _ in range(3)] == [1, 1, 0]
    clock.now_s += 0.06
    assert allowance.take("a") == 1, "halves add up"
    clock.now_s += 1000
    assert allowance.take("a", 100) == 5, "a rest saves up no more than a burst"


def test_what_is_asked_in_one_go_is_given_as_far_as_it_goes() -> None:
    allowance = Allowance(Rate(per_s=1, burst=8), Clock())
    assert (allowance.take("a", 3), allowance.take("a", 0), allowance.take("a", 9), allowance.take("a", 9)) == (
        3,
        0,
        5,
        0,
    )


def test_what_was_had_in_any_case_is_owed_and_paid_at_the_rate() -> None:
    clock = Clock()
    allowance = Allowance(Rate(per_s=10, burst=20), clock)
    assert allowance.owe("a", 20) == 0
    assert allowance.owe("a", 5) == pytest.approx(0.5)
    assert allowance.owe("a", 5) == pytest.approx(1.0)
    assert allowance.take("a", 3) == 0
    assert allowance.owe("b", 5) == 0
    clock.now_s += 1.5
    assert allowance.take("a", 9) == 5
    assert allowance.owe("a", 1) == pytest.approx(0.1)


def test_parties_do_not_pay_for_one_another() -> None:
    allowance = Allowance(Rate(per_s=1, burst=2), Clock())
    assert allowance.take("a", 100) == 2
    assert allowance.take("b", 100) == 2


def test_a_bounded_number_of_parties_is_remembered_the_latest_of_them() -> None:
    allowance = Allowance(Rate(per_s=1, burst=1), Clock(), parties_max=3)
    for party in ("flood", "b", "c", "flood", "d", "e"):
        allowance.take(party)
    assert len(allowance) == 3
    assert allowance.take("flood") == 0, "one that keeps asking is not forgotten"
    assert allowance.take("b") == 1


@pytest.mark.parametrize("seed", range(5))
def test_over_any_time_no_party_has_more_than_burst_and_rate(seed: int) -> None:
    dice, clock = random.Random(seed), Clock()
    allowance = Allowance(Rate(per_s=7, burst=3), clock)
    given, began = {"a": 0, "b": 0}, clock.now_s
    for _ in range(2000):
        clock.now_s += dice.expovariate(20)
        party = dice.choice("ab")
        given[party] += allowance.take(party, dice.randrange(4))
        assert given[party] <= 3 + 7 * (clock.now_s - began)
    assert min(given.values()) > 7 * (clock.now_s - began) * 0.7, "and it is not kept from them"


def test_parties_are_served_in_rotation_and_in_their_own_order() -> None:
    rotation: Rotation[int] = Rotation()
    for number in range(1000):
        rotation.put("flood", number)
    rotation.put("a", -1)
    rotation.put("b", -2)
    rotation.put("a", -3)
    assert [rotation.pop() for _ in range(6)] == [0, -1, -2, 1, -3, 2]
    assert (len(rotation), rotation.waiting("flood"), rotation.waiting("a")) == (997, 997, 0)


def test_a_party_that_comes_back_waits_for_the_others() -> None:
    rotation: Rotation[str] = Rotation()
    for party in "ab":
        rotation.put(party, party)
        rotation.put(party, party + "2")
    assert rotation.pop() == "a"
    rotation.put("c", "c")
    assert [rotation.pop() for _ in range(4)] == ["b", "a2", "c", "b2"]
    assert rotation.pop() is None
    assert rotation.pop("a") is None


def test_what_need_not_wait_is_taken_out() -> None:
    rotation: Rotation[int] = Rotation()
    rotation.put("a", 1)
    rotation.put("a", 2)
    rotation.put("b", 3)
    rotation.discard("a", 1)
    rotation.discard("a", 9)
    rotation.discard("nobody", 1)
    assert list(rotation) == [("a", 2), ("b", 3)]
    rotation.discard("a", 2)
    assert (len(rotation), rotation.pop(), len(rotation)) == (1, 3, 0)
