"""The age of a parked machine goes with its record, through a restart of the edge."""

import time

import pytest

from edge.content.ages import Age, split_age, with_age


def test_it_is_older_by_the_time_that_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    kept = with_age(b"record", Age(50.0, 7))
    assert split_age(kept) == (Age(50.0, 7), b"record")
    monkeypatch.setattr(time, "time", lambda: 1_003_600.0)
    assert split_age(kept) == (Age(3650.0, 7), b"record")
    monkeypatch.setattr(time, "time", lambda: 10.0)
    assert split_age(kept) == (Age(0.0, 7), b"record"), "a clock that was set back"


@pytest.mark.parametrize("kept", [b"", b"NKA1", b"\x28\xb5\x2f\xfd" + bytes(100)])
def test_what_was_kept_otherwise_is_no_record(kept: bytes) -> None:
    assert split_age(kept) is None
