"""Does the fitted line tell growth from noise?"""

import random

import pytest

from loadtest.scenarios.growth import Budget, growth, judge

BUDGET = Budget("memory", "MiB", share=0.05, floor=8, swing=0.25, swing_floor=30)
TIMES = [float(second) for second in range(0, 300, 5)]


def _noisy(start: float, grown: float) -> list[float]:
    dice = random.Random(3)
    return [start + grown * at_s / TIMES[-1] + dice.gauss(0, 3) for at_s in TIMES]


def test_a_line_is_found_in_noise() -> None:
    line = growth(TIMES, _noisy(200, 40))
    assert line.start == pytest.approx(200, abs=3)
    assert line.grown == pytest.approx(40, abs=5)


@pytest.mark.parametrize(
    ("start", "grown", "holds"), [(100, 0, True), (100, -15, True), (100, 5, True), (100, 15, False), (400, 15, True)]
)
def test_a_budget_is_a_share_or_a_floor(start: float, grown: float, holds: bool) -> None:
    assert (judge(BUDGET, TIMES, _noisy(start, grown)) == "") is holds


def test_a_complaint_says_expected_and_got() -> None:
    assert judge(BUDGET, [0, 10, 20], [100, 110, 120]) == (
        "memory: growth of at most 8.0 MiB in 20 s expected, got 20.0 MiB from 100.0 MiB"
    )


def test_what_swings_does_not_grow_but_is_said() -> None:
    saw = [450 + at_s % 25 * 8 for at_s in TIMES]
    said = judge(BUDGET, TIMES, saw)
    assert said.startswith("memory: a swing of at most 13")
    assert "got 160.0 MiB" in said
    assert judge(BUDGET, TIMES, [450 + at_s % 25 for at_s in TIMES]) == ""


def test_two_samples_are_no_line() -> None:
    with pytest.raises(ValueError, match="3 or more samples"):
        growth([0, 1], [1, 2])
