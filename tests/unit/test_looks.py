"""What an operator sees of an edge in a terminal: the services in an order, the edge above them, and no name raw."""

import io
from typing import Any

import pytest
from rich.console import Console

from edge.operators.looks import chosen, query_of
from edge.operators.screen import screen, table
from vmimage.errors import OperatorError


def entry(name: str, requests: int, **more: Any) -> dict[str, Any]:
    about = {"service": name, "hosts": [f"{name}.test"], "tenant": "acme", "version": 1, "tier": "resident"}
    states = {"state": "resident", "quarantined": False, "held_since": None, "worker": 0, "machines": 1}
    staged = {"release": None, "refused": None}
    numbers = {"requests": requests, "waiting": 0, "crashes": 0, "resident_bytes": 1 << 20, "parked_bytes": 0}
    return {**about, **states, **staged, **numbers, "rate": 0.0, "p50_ms": None, "p99_ms": None, "hits": None, **more}


PARKED = {"tier": "parked", "state": "parked", "worker": None, "resident_bytes": 0, "parked_bytes": 9000}
EVERY = [
    entry("a", 300, crashes=2, rate=100.0, p50_ms=0.25, p99_ms=12.6, hits=0.995, **PARKED),
    entry("b", 510, resident_bytes=5 << 20, rate=5.0),
    entry("c", 4, quarantined=True, rate=2.0, held_since=1.0),
]


def view(*services: dict[str, Any], total: int | None = None, **more: Any) -> dict[str, Any]:
    edge = {
        "draining": False,
        "health": [],
        "services": 3,
        "by_tier": {"resident": 2, "parked": 1},
        "serves_on": ["http://127.0.0.1:8080", "unix:/run/a.sock (PROXY)"],
        "held": {"count": 1, "names": ["c"]},
        "quarantined": 1,
        "rate": 107.0,
        "p50_ms": 0.2,
        "p99_ms": 9.0,
        "hits": 1.0,
        "waiting": 0,
        "crashes": 2,
        "memory": {"resident": [6 << 20, 128 << 20], "parked": [9000, 64 << 20]},
        "disk": {"answers": [5 << 20, 1 << 30]},
        "workers": [{"index": 0, "place": "shared", "whose": "", "machines": 2, "on": {"unicorn": 1, "kvm": 1}}],
        "catalogue": {"looked_ago_s": 3.0, "expired": False, "expires": {"root": 1000.0 + 86400 * 90}},
        "reports": [],
        "cache": {"hit": 1200, "miss": 3},
        "time": 1000.0,
        **more,
    }
    return {"edge": edge, "total": len(services) if total is None else total, "services": services}


def shown(renderable: Any, width: int = 170) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(renderable)
    return out.getvalue()


@pytest.mark.parametrize(
    ("sort", "expected"), [("rate", "abc"), ("memory", "bca"), ("requests", "bac"), ("crashes", "abc"), ("p99", "abc")]
)
def test_the_largest_comes_first_and_equals_by_name(sort: str, expected: str) -> None:
    assert "".join(each["service"] for each in chosen(EVERY, query_of("", "", sort))) == expected


@pytest.mark.parametrize(
    ("match", "only", "expected"),
    [("", "", "abc"), ("B", "", "b"), ("c.te", "", "c"), ("x", "", ""), ("", "held", "c")],
)
def test_a_text_or_a_choice_picks_services(match: str, only: str, expected: str) -> None:
    assert "".join(each["service"] for each in chosen(EVERY, query_of(match, only, "name"))) == expected


@pytest.mark.parametrize(
    ("only", "sort", "message"),
    [("", "size", "--sort: rate, p99, memory"), ("warm", "name", "--only: resident, parked")],
)
def test_another_order_or_choice_is_none(only: str, sort: str, message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        query_of("", only, sort)


def test_the_screen_has_a_line_for_each_service_as_far_as_there_are_rows() -> None:
    whole = shown(screen(view(*EVERY), 40, 170))
    assert [line.split()[0] for line in whole.splitlines()[-3:]] == ["a", "b", "c"]
    assert "107.0 requests/s, p50 0.20 ms, p99 9.00 ms, hits 100 %" in whole
    assert "2 resident, 1 parked; on hold 1: c; 1 quarantined" in whole
    assert "0: 2 machines (1 unicorn, 1 kvm)" in whole
    assert "looked at 3 s ago; root ends in 90 d" in whole
    assert "parked 9.0 kB of 67.1 MB; disk: answers 5.2 MB of 1.1 GB" in whole
    assert "kept answers: hit 1,200, miss 3" in whole
    assert "serves on http://127.0.0.1:8080, unix:/run/a.sock (PROXY)" in whole
    short = shown(screen(view(*EVERY, total=2000), 12, 170)).splitlines()
    assert len(short) == 12
    assert short[-1].strip() == "1,999 more"


def test_what_is_not_well_is_said_first_and_no_name_reaches_the_terminal_raw() -> None:
    escapes = "\x1b[31mred\x1b]0;title\x07\u202e"
    report = {"time": 1.0, "service": escapes, "error": escapes, "message": escapes, "requests": [escapes]}
    sick = view(entry(escapes, 1), health=["no worker"], reports=[report], held={"count": 1, "names": [escapes]})
    text = shown(screen(sick, 40, 170))
    assert text.startswith("no worker")
    assert "red" in text
    assert not set(text) & set("\x1b\x07\u202e")


def test_the_last_crashes_are_told_with_the_request() -> None:
    report = {"time": 0.0, "service": "shop", "error": "GuestFault", "message": "at 0x0", "requests": ["GET /buy"]}
    last = shown(screen(view(*EVERY, reports=[report]), 40, 170)).splitlines()[-1]
    assert last.strip() == "00:00:00 shop crashed at GET /buy: GuestFault: at 0x0"


def test_a_service_says_where_it_is_and_what_it_does_not_know() -> None:
    cold = entry("a", 0, tier="cold", state="cold", worker=None, resident_bytes=0, parked_bytes=0)
    row = shown(table([cold], 170)).splitlines()[-1]
    assert row.split() == ["a", "cold", "-", "0.0", "-", "-", "-", "0", "0", "0", "-", "1"]
    assert "resident, quarantined, on hold" in shown(table(EVERY, 170))


def test_a_narrow_terminal_has_names_whole_and_fewer_columns() -> None:
    lines = shown(table([entry("a-service-with-a-name", 1, **PARKED)], 80), 80).splitlines()
    assert lines[1].startswith("a-service-with-a-name  parked")
    assert ("P99 MS" in lines[0], "VERSION" in lines[0]) == (True, False)
    assert shown(table([], 80)).strip() == ""


@pytest.mark.parametrize("state", ["preparing", "under way", "stopped"])
def test_a_release_and_a_version_that_is_refused_are_told(state: str) -> None:
    said = shown(table([entry("shop", 1, release={"state": state}), entry("blog", 1, refused="sha256:0")], 170))
    assert f"resident, release {state} " in said
    assert "resident, version refused " in said


def test_a_narrow_terminal_shows_fewer_columns_and_no_cut_ones() -> None:
    lines = shown(table(EVERY[:2], 44), width=44)
    assert lines.split("\n")[0].split() == ["SERVICE", "TIER", "REQ/S", "P99", "MS", "CRASHES"]
    assert "…" not in lines
