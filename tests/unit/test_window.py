"""How services answered lately: figures against the times themselves, what is forgotten, and what it takes."""

import random

import pytest

from edge.model.services import Service
from edge.supervisor.window import BUCKETS, GENERATION_S, SERVICES_MAX, Window, bucket_of, middle_ms
from tests.support.playbook import release

A, B = Service(release("a")), Service(release("b"))


def test_a_bucket_stands_for_its_times_to_an_eighth() -> None:
    for us in (*range(16, 5000), *(10**power for power in range(4, 8))):
        assert middle_ms(bucket_of(us / 1e6)) * 1e3 == pytest.approx(us, rel=1 / 8)
    buckets = [bucket_of(us / 1e6) for us in range(0, 100_000, 7)]
    assert buckets == sorted(buckets)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, 1e5])
def test_a_time_beyond_all_buckets_is_in_the_outermost(seconds: float) -> None:
    assert bucket_of(seconds) == (BUCKETS - 1 if seconds > 1 else 0)


def test_percentiles_are_those_of_the_times() -> None:
    times = [random.Random(seed).lognormvariate(-7, 1) for seed in range(2000)]
    window = Window(100.0)
    for seconds in times:
        window.answered(A, "resident", seconds, 101.0)
    ranked, figures = sorted(times), window.of(A, 101.0)
    assert figures.p50_ms == pytest.approx(ranked[1000] * 1e3, rel=0.15)
    assert figures.p99_ms == pytest.approx(ranked[1980] * 1e3, rel=0.15)


def test_a_service_that_nobody_asked_has_no_times_and_no_hits() -> None:
    window = Window(100.0)
    window.answered(A, "resident", 0.001, 100.5)
    assert window.of(B, 101.0) == (0.0, None, None, None)
    assert window.of_all(101.0).rate == window.of(A, 101.0).rate == 1.0


def test_only_an_answer_whose_image_came_from_the_origin_is_no_hit() -> None:
    window = Window(0.0)
    for tier in ("origin", "blob", "disk", "parked"):
        window.answered(A, tier, 0.001, 1.0)
    assert window.of(A, 1.0).hits == window.of_all(1.0).hits == 0.75


def test_what_is_older_than_two_generations_is_forgotten() -> None:
    window = Window(0.0)
    for _ in range(30):
        window.answered(A, "resident", 0.001, 14.0)
    assert window.of(A, GENERATION_S).rate == 30 / 15
    assert window.of(A, 2 * GENERATION_S - 0.1).p50_ms is not None
    window.answered(B, "resident", 0.001, 2 * GENERATION_S)
    assert window.of(A, 2 * GENERATION_S).p50_ms is None
    assert window.of(B, 2 * GENERATION_S + 1).rate == pytest.approx(1 / 16)


def test_after_a_long_silence_nothing_is_left() -> None:
    window = Window(0.0)
    window.answered(A, "resident", 0.001, 1.0)
    assert window.of_all(1000.0) == (0.0, None, None, None)
    assert window.span_s(1000.0) == GENERATION_S


def test_a_crowd_of_services_is_counted_up_to_a_bound_and_its_sum_is_right() -> None:
    window = Window(0.0)
    crowd = [Service(A.release) for _ in range(SERVICES_MAX + 5)]
    for service in crowd:
        window.answered(service, "resident", 0.001, 1.0)
    assert sum(window.of(service, 1.0).p50_ms is not None for service in crowd) == SERVICES_MAX
    assert window.of_all(1.0).rate == SERVICES_MAX + 5
