"""Pauses before something that crashed is started again."""

from edge.common import backoff
from edge.config.responses import ResponseOptions


def test_back_off_begins_with_none_doubles_and_is_bounded() -> None:
    crashes, pauses = 0, []
    for _ in range(14):
        crashes, pause_s = backoff.after_crash(crashes, lived_s=0.0)
        pauses.append(pause_s)
    assert pauses[:4] == [0.0, 0.1, 0.2, 0.4]
    assert max(pauses) == pauses[-1] == backoff.BACKOFF_MAX_S


def test_a_machine_that_lived_long_starts_the_count_anew() -> None:
    assert backoff.after_crash(9, lived_s=backoff.HEALTHY_S) == (1, 0.0)


def test_a_stale_answer_stands_in_for_as_long_as_a_pause_may_be() -> None:
    assert ResponseOptions().response_stale == backoff.BACKOFF_MAX_S
