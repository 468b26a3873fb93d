"""The age of a parked machine goes with its record, through a restart of the edge."""

import time

import pytest

from edge.content.ages import began_us, lived_s


def test_it_is_older_by_the_time_that_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    began = began_us(50.0)
    assert lived_s(began) == 50.0
    monkeypatch.setattr(time, "time", lambda: 1_003_600.0)
    assert lived_s(began) == 3650.0
    monkeypatch.setattr(time, "time", lambda: 10.0)
    assert lived_s(began) == 0.0, "a clock that was set back"
    assert began_us(50.0) == 0, "nothing is older than the clock"
