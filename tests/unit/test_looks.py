"""What an operator sees of an edge: the services in an order, and rates between two looks."""

import io
from typing import Any

import pytest
from rich.console import Console

from edge.operators.looks import SORTS, Look, Sort, lines, sort_of, summary
from edge.operators.screen import screen, table
from vmimage.errors import OperatorError


def entry(name: str, requests: int, **more: Any) -> dict[str, Any]:
    about = {"service": name, "hosts": [f"{name}.test"], "version": 1, "tier": "resident", "state": "resident"}
    numbers = {"worker": 0, "requests": requests, "waiting": 0, "crashes": 0}
    sizes = {"resident_bytes": 1 << 20, "parked_bytes": 0, "quarantined": False}
    return {**about, **numbers, **sizes, **more}


def look(at: float, *services: dict[str, Any], health: tuple[str, ...] = ("ok",)) -> Look:
    return Look(at, services, [{"index": 0}], health)


BEFORE = look(10.0, entry("a", 100), entry("b", 500))
NOW = look(
    12.0,
    entry("a", 300, crashes=2, tier="parked", state="parked", worker=None, resident_bytes=0, parked_bytes=9000),
    entry("b", 510, resident_bytes=5 << 20),
    entry("c", 4, quarantined=True),
)


def shown(renderable: Any, width: int = 150) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize(
    ("sort", "expected"), [("rate", "abc"), ("memory", "bca"), ("requests", "bac"), ("crashes", "abc"), ("name", "abc")]
)
def test_the_largest_comes_first_and_equals_by_name(sort: Sort, expected: str) -> None:
    assert "".join(line.service for line in lines(NOW, BEFORE, sort)) == expected


def test_every_order_has_a_name_and_no_other_is_taken() -> None:
    assert [sort_of(sort) for sort in SORTS] == list(SORTS)
    with pytest.raises(OperatorError, match="--sort: rate, memory"):
        sort_of("size")


def test_rates_are_what_came_between_two_looks() -> None:
    assert [line.rate for line in lines(NOW, BEFORE, "name")] == [100.0, 5.0, 2.0]
    assert [line.rate for line in lines(NOW, None, "name")] == [None] * 3
    assert [line.rate for line in lines(BEFORE, BEFORE, "name")] == [None] * 2, "no time went by"


def test_a_service_that_counts_from_zero_again_has_no_rate_below_zero() -> None:
    assert [line.rate for line in lines(look(12.0, entry("a", 3)), BEFORE, "name")] == [0.0]


@pytest.mark.parametrize(("match", "expected"), [("", "abc"), ("b", "b"), ("c.te", "c"), ("x", "")])
def test_a_text_picks_services_by_name_or_host(match: str, expected: str) -> None:
    assert "".join(line.service for line in lines(NOW, BEFORE, "name", match)) == expected


def test_the_sum_is_of_all_services() -> None:
    total = summary(NOW, BEFORE)
    assert (total.rate, total.services, total.crashes, total.workers) == (107.0, 3, 2, 1)
    assert total.by_tier == {"resident": 2, "parked": 1}
    assert (total.resident_bytes, total.parked_bytes) == (6 << 20, 9000)


def test_the_screen_has_a_line_for_each_service_as_far_as_there_are_rows() -> None:
    every = lines(NOW, BEFORE, "rate")
    whole = shown(screen(NOW, summary(NOW, BEFORE), every, 40))
    assert [line.split()[0] for line in whole.splitlines()[-3:]] == ["a", "b", "c"]
    assert "107 requests/s" in whole
    short = shown(screen(NOW, summary(NOW, BEFORE), every, 7)).splitlines()
    assert len(short) == 7
    assert short[-1].strip() == "2 more"


def test_what_is_not_well_is_said_first_and_no_name_reaches_the_terminal_raw() -> None:
    sick = look(1.0, entry("\x1b[31mred\x1b]0;title\x07", 1), health=("ok, but", "no worker"))
    text = shown(screen(sick, summary(sick, None), lines(sick, None, "name"), 40))
    assert text.startswith("ok, but  no worker")
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_service_that_has_no_machine_has_no_worker_and_no_memory() -> None:
    cold = look(1.0, entry("a", 0, tier="cold", state="cold", worker=None, resident_bytes=0, parked_bytes=None))
    row = shown(table(lines(cold, None, "name"))).splitlines()[-1]
    assert row.split() == ["a", "1", "cold", "-", "-", "0", "0", "0", "-"]
