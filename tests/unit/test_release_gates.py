"""Is a bad candidate stopped, soon and by few visitors, and does one go on that is as good as the stable version?"""

from random import Random

import pytest

from edge.releases.gates import WINDOW_S, Cause, Watch
from edge.releases.sides import BAD, FEW, MANY, bucket_of, least_ms
from vmimage.release import Gates


class Traffic:
    """Requests for both versions, evenly in time."""

    def __init__(self, gates: Gates = Gates(), seed: int = 1) -> None:  # noqa: B008  # a value
        self.watch, self.now, self.asked = Watch(gates, 0.0), 0.0, 0
        self.chance = Random(seed)

    def run(
        self,
        seconds: float,
        *,
        candidate_rate: float = 10,
        stable_rate: float = 100,
        failing: float = 0.0,
        stable_failing: float = 0.0,
        crashing: float = 0.0,
        ms: float = 20,
        stable_ms: float = 20,
        slow: float = 0.0,
        slow_ms: float = 5000,
    ) -> Cause | None:
        """Until it is stopped, or so many seconds have passed."""
        chance, end, total = self.chance, self.now + seconds, candidate_rate + stable_rate
        while self.now < end:
            self.now += 1 / total
            if chance.random() < candidate_rate / total:
                self.asked += 1
                crashes = chance.random() < crashing
                if crashes and (cause := self.watch.crashed(candidate=True)):
                    return cause
                failed = crashes or chance.random() < failing
                took = slow_ms if chance.random() < slow else ms
                cause = self.watch.answered(candidate=True, failed=failed, ms=took, now=self.now)
            else:
                failed = chance.random() < stable_failing
                cause = self.watch.answered(candidate=False, failed=failed, ms=stable_ms, now=self.now)
            if cause is not None:
                return cause
        return None


def test_one_that_crashes_on_each_request_is_stopped_by_its_third_crash() -> None:
    traffic = Traffic()
    assert traffic.run(30, crashing=1) == "crashes"
    assert traffic.watch.total["candidate"].crashes == 3
    assert traffic.asked == 3
    assert traffic.now < 2


def test_one_that_fails_each_request_is_stopped_by_the_first_few() -> None:
    traffic = Traffic()
    assert traffic.run(30, failing=1) == "all_failed"
    assert traffic.asked == FEW


def test_one_that_begins_to_fail_each_request_later_is_stopped_by_many_in_a_row() -> None:
    traffic = Traffic(Gates(errors=2000, requests=1000))
    assert traffic.run(20) is None
    before = traffic.asked
    assert traffic.run(30, failing=1) == "all_failed"
    assert traffic.asked - before == MANY


@pytest.mark.parametrize("seed", range(5))
def test_one_that_gives_errors_at_one_in_ten_is_stopped_by_windows(seed: int) -> None:
    traffic = Traffic(seed=seed)
    assert traffic.run(60, failing=0.1) == "errors"
    assert 2 * WINDOW_S <= traffic.now <= 30


@pytest.mark.parametrize("seed", range(5))
def test_one_that_is_slow_is_stopped_by_windows(seed: int) -> None:
    traffic = Traffic(seed=seed)
    assert traffic.run(60, ms=300) == "slow"
    assert 2 * WINDOW_S <= traffic.now <= 12
    tail = Traffic(seed=seed)
    assert tail.run(60, slow=0.2, slow_ms=2500) == "slow"


@pytest.mark.parametrize("seed", range(5))
def test_one_that_is_as_good_as_the_stable_version_goes_on(seed: int) -> None:
    traffic = Traffic(seed=seed)
    about = {"failing": 0.004, "stable_failing": 0.004, "slow": 0.005, "stable_ms": 20.0}
    assert traffic.run(600, **about) is None
    assert traffic.asked > 5000


def test_what_is_wrong_with_both_versions_is_not_the_candidates_fault() -> None:
    assert Traffic().run(120, failing=0.3, stable_failing=0.3) is None
    assert Traffic().run(120, ms=4000, stable_ms=4000) is None
    both = Traffic()
    for _ in range(200):
        both.watch.crashed(candidate=False)
        both.watch.answered(candidate=False, failed=True, ms=None, now=0.0)
    for _ in range(3):
        both.watch.answered(candidate=True, failed=False, ms=None, now=0.0)
    assert [both.watch.crashed(candidate=True) for _ in range(6)] == [None] * 6


def test_one_accident_in_a_window_of_few_requests_is_none() -> None:
    watch, now = Watch(Gates(), 0.0), 0.0
    for number in range(400):
        now += 1
        failed = number % 25 < BAD - 1  # in each window as many as are let pass
        assert watch.answered(candidate=True, failed=failed, ms=1, now=now) is None


def test_at_a_low_rate_a_window_lasts_until_enough_were_asked() -> None:
    watch, now, asked = Watch(Gates(), 0.0), 0.0, 0
    cause = None
    while cause is None:
        now, asked = now + 30, asked + 1
        cause = watch.answered(candidate=True, failed=asked % 5 == 0, ms=1, now=now)
    assert (cause, asked) == ("errors", 50)


def test_gates_that_the_publisher_signs_anew_count_from_then_on() -> None:
    traffic = Traffic(Gates(errors=2000))
    assert traffic.run(30, failing=0.1) is None
    traffic.watch.take_up(Gates(errors=10))
    assert traffic.run(30, failing=0.1) == "errors"


def test_times_are_counted_to_an_eighth() -> None:
    for ms in (0.0, 0.1, 0.9, 1.0, 7.3, 50.0, 300.0, 2000.0, 59_999.0):
        least = least_ms(bucket_of(ms))
        assert least <= ms < (least + 0.125) * 1.126
    assert [bucket_of(least_ms(bucket)) for bucket in range(150)] == list(range(150))
