"""Durations and shares as people write them."""

from decimal import Decimal

import pytest

from vmimage.durations import format_duration, is_percent, parse_duration, parse_percent


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("30s", 30), ("0", 0), ("250ms", 0.25), (" 1.5 h ", 5400), ("10min", 600), ("2d", 172_800)],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1m", "1e3", "nan", "inf", "1 s s", "٣s", "1h30min", "1" * 13])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as 30s or 10min expected"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.1, "100ms"),
        (30, "30s"),
        (75.0, "75s"),
        (600, "10min"),
        (3600, "1h"),
        (86400, "1d"),
        (1 << 20, "1048576s"),
        (0.0005, "0.0005s"),
    ],
)
def test_durations_for_people_say_exactly_what_they_are(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration(text) == seconds


def test_a_share_is_from_none_to_all() -> None:
    assert (parse_percent("12.5%"), parse_percent(" 100 % ")) == (Decimal("0.125"), Decimal(1))
    assert [is_percent(text) for text in ("50%", "50", "%")] == [True, False, False]
    for text in ("101%", "-1%", "half"):
        with pytest.raises(ValueError, match="a share from 0% to 100% expected"):
            parse_percent(text)
