"""Are fleet settings only what the table has, below an edge's own, and left alone by an edge that they are bad for?"""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.config.fleet_settings import SETTABLE, laid_under, read_file, require_usable
from edge.config.options import own_settings
from edge.config.reload import LIVE
from edge.releases.gates import KNOWN, Cause
from edge.releases.sides import FEW, MANY
from edge.settings.choice import Back, meant_for
from edge.settings.comparison import BEFORE_MAX_S, PROVEN_MAX_S, PROVEN_S, Comparison, Seen
from edge.settings.memory import Memory
from vmimage.errors import FormatError, OperatorError
from vmimage.fleet_settings import (
    NOTHING,
    TEXT_MAX,
    VALUE_MAX,
    FleetSettings,
    Staged,
    Version,
    parse_settings,
    settings_value,
)
from vmimage.fleet_settings_report import SettingsReport, parse_settings_report
from vmimage.release import ALL, Gates

SINCE = "2026-01-31T10:00:00Z"
STABLE, NEW = Version(7, SINCE, {"max_body": "16MiB"}), Version(8, SINCE, {"max_body": "1MiB"})
SAID = FleetSettings(8, STABLE, Staged(NEW, 2500))
OWN = {"origin": "http://origin.example", "trust": "root.json", "cache": "cache"}
# What would take an edge over, or open its walls.
WALLS = (
    *("admin_listen", "admin_token", "admin_hosts", "cache", "edge_token", "isolation", "kvm_ring0", "listen", "log"),
    *("log_token", "origin", "peers", "registry_auth", "secrets", "share", "source", "trusted_proxies", "trust"),
)


def test_what_is_signed_is_read_again() -> None:
    for said in (SAID, FleetSettings(8, STABLE), FleetSettings(1, NOTHING, Staged(Version(1, SINCE), 1, ("fra",)))):
        assert parse_settings(json.loads(json.dumps(settings_value(said)))) == said
    assert parse_settings(None) == FleetSettings()


HOSTILE: list[tuple[tuple[str, ...], object]] = [
    ((), 5), ((), []), ((), {}), (("last",), 0), (("last",), 7), (("last",), True), (("last",), "8"),
    (("stable", "number"), 8), (("stable", "since"), "now"), (("stable", "values"), []),
    (("stable", "values"), {"max_body": 5}), (("stable", "values"), {"max_body": "1\n"}),
    (("stable", "values"), {"max_body": "x" * (VALUE_MAX + 1)}), (("stable", "values"), {"max_body": "\u0661"}),
    (("stable", "values"), {chr(97 + n): "x" * (TEXT_MAX // 4) for n in range(5)}),
    (("stable", "values"), {f"o{'x' * n}": "" for n in range(33)}), (("stable", "values"), {"--max": "1"}),
    (("candidate", "share"), 0), (("candidate", "share"), ALL + 1), (("candidate", "pops"), ["FRA"]),
    (("candidate", "pops"), ["a"] * 33), (("candidate", "gates"), {}), (("candidate", "gates", "errors"), 2001),
    (("candidate", "gates", "crashes"), 0), (("candidate", "more"), 1),
]  # fmt: skip


@pytest.mark.parametrize(("where", "what"), HOSTILE, ids=str)
def test_hostile_settings_are_refused(where: tuple[str, ...], what: object) -> None:
    value: Any = {"whole": copy.deepcopy(settings_value(SAID))}
    *inner, last = ("whole", *where)
    place = value
    for name in inner:
        place = place[name]
    place[last] = what
    with pytest.raises(FormatError):
        parse_settings(value["whole"])


def test_the_table_opens_nothing_and_is_taken_up_at_once() -> None:
    assert set(SETTABLE) < set(LIVE)
    for name in WALLS:
        assert name not in SETTABLE
        with pytest.raises(OperatorError, match="each edge's own"):
            require_usable({name: "1"}, "test")
        with pytest.raises(OperatorError, match=f"test.toml:1: {name}: .*each edge's own"):
            read_file("test.toml", f'{name} = "1"'.encode())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("request_timeout", "1ms"), ("max_body", "-1"), ("max_queue", "0"), ("refresh", "61s"), ("weights", "a=0"),
        ("server_timing", "perhaps"), ("upstreams", "10.0.0.0/8"), ("upstreams", "public,127.0.0.0/8"),
        ("upstreams", "0.0.0.0/0"), ("upstreams", "::/0"), ("upstreams", "2000::/2"), ("upstreams", "64:ff9b::/96"),
        ("upstreams", "everything"), ("max_bodies", "1"),
    ],
)  # fmt: skip
def test_values_pass_the_door_of_an_edges_own_and_a_closer_one(option: str, value: str) -> None:
    with pytest.raises(OperatorError, match="test: "):
        require_usable({option: value}, "test")


def test_each_option_of_the_table_can_be_set_by_a_file() -> None:
    text = """max_body = "16 MiB"\nrequest-timeout = 10\nupstreams = ["8.8.8.0/24", "2600::/16"]\nserver_timing = false
weights = { acme = 3 }\nmax_queue = 5\ntrace_ratio = 0.5\ncrash_pause = "1min"\nrefresh = 1\nkeepalive_timeout = 5
stream_timeout = "1h"\n"""
    values = read_file("test.toml", text.encode())
    assert set(values) == set(SETTABLE)
    assert values["max_body"] == "16MiB"
    config, _ = laid_under(own_settings(None, OWN, {}), Version(1, SINCE, values))
    assert (config.max_body, config.request_timeout, config.max_queue) == (16 << 20, 10.0, 5)
    assert (config.upstreams, config.server_timing, config.weights) == ("8.8.8.0/24,2600::/16", "off", "acme=3")


@pytest.mark.parametrize("by", ["file", "environment", "line"])
def test_an_edges_own_word_goes_before_and_the_fleets_before_defaults(tmp_path: Path, by: str) -> None:
    file = tmp_path / "edge.toml"
    file.write_text('max_body = "2MiB"\n' if by == "file" else "")
    given = OWN | ({"max_body": "2MiB"} if by == "line" else {})
    own = own_settings(file, given, {"NUNATAK_EDGE_MAX_BODY": "2MiB"} if by == "environment" else {})
    config, said = laid_under(own, Version(8, SINCE, {"max_body": "1MiB", "max_queue": "5"}))
    assert (config.max_body, config.max_queue, config.request_timeout) == (2 << 20, 5, 30)
    assert said.shown(config, "max_queue") == ("5", "fleet settings 8")
    assert said.shown(config, "request_timeout") == ("30s", "default")
    assert "fleet" not in said.shown(config, "max_body")[1]
    assert own.said("max_queue").source == "default", "a layer leaves what is below it as it was"


def test_widening_only_adds_edges() -> None:
    names, before = [f"edge-{number}" for number in range(400)], set[str]()
    for share in (100, 500, 2500, 5000, ALL):
        now = {name for name in names if Staged(NEW, share).takes(name, "fra")}
        assert before <= now
        assert abs(len(now) - share * len(names) / ALL) < 40
        before = now
    assert before == set(names)
    assert not Staged(NEW, ALL, ("fra",)).takes("edge-1", "ams")
    assert not Staged(NEW, ALL - 1).takes("", "fra"), "an edge without a name is among the last"
    assert Staged(NEW, ALL).takes("", "fra")


def test_an_edge_that_went_back_has_the_stable_version_which_is_the_last_word() -> None:
    everywhere = replace(SAID, candidate=Staged(NEW, ALL))
    assert meant_for(everywhere, "a", "fra", {}).version == NEW
    back = {NEW.name: Back("errors", 1.0, "edge")}
    assert meant_for(everywhere, "a", "fra", back).version == STABLE
    finished = FleetSettings(8, NEW)
    assert meant_for(finished, "a", "fra", back) == (NEW, None, None)
    ended = Back("ended", 1.0, "edge", stable=True)
    assert meant_for(finished, "a", "fra", {NEW.name: ended}).back == ended


def _compared(before: int = KNOWN, failing_before: int = 0, gates: Gates = Gates()) -> Comparison:  # noqa: B008
    compared = Comparison(gates, 0.0)
    for number in range(before):
        assert compared.answered(Seen(number < failing_before, 20.0), number / 10) is None
    assert not compared.is_measured(1.0)
    assert compared.is_measured(BEFORE_MAX_S)
    compared.change(100.0)
    return compared


def _run(compared: Comparison, count: int, every: int, ms: float = 20.0) -> Cause | None:
    """Ten requests a second, of which one in `every` fails; 0: none."""
    for number in range(1, count + 1):
        failed = bool(every) and number % every == 0
        if cause := compared.answered(Seen(failed, ms), 100 + number / 10):
            return cause
    return None


def test_gates_compare_with_what_was_before() -> None:
    assert _run(_compared(), MANY, 1) == "all_failed"
    assert _run(_compared(before=0), FEW, 1) == "all_failed", "nothing is known of before"
    assert _run(_compared(failing_before=KNOWN), MANY, 1) is None, "it was no better before"
    assert _run(_compared(), 400, 4) == "errors"
    assert _run(_compared(failing_before=KNOWN // 4), 400, 4) is None
    assert _run(_compared(), 400, 0, ms=500.0) == "slow"
    assert _run(_compared(), 2000, 0) is None


def test_crashes_count_beside_those_of_before() -> None:
    compared = _compared()
    assert [compared.crashed(1) for _ in range(3)] == [None, None, "crashes"]
    compared = Comparison(Gates(), 0.0)
    compared.crashed(5)
    compared.change(100.0)
    assert compared.crashed(5) is None


def test_a_version_has_proved_itself_after_time_and_requests() -> None:
    compared = _compared()
    assert not compared.is_proven(100 + PROVEN_S)
    assert compared.is_proven(100 + PROVEN_MAX_S)
    _run(compared, 60, 0)
    assert not compared.is_proven(100 + PROVEN_S - 1)
    assert compared.is_proven(100 + PROVEN_S)


def test_what_is_remembered_outlives_the_edge(tmp_path: Path) -> None:
    path = tmp_path / "fleet_settings.json"
    memory = Memory(path)
    assert (memory.in_force, memory.trying) == (NOTHING, "")
    memory.prove(STABLE, stable=True)
    memory.try_(NEW, stable=False)
    again = Memory(path)  # as after a kill
    assert (again.in_force, again.trying) == (STABLE, NEW.name)
    again.settle_start(5.0)
    assert Memory(path).back == {NEW.name: Back("ended", 5.0, "edge")}
    assert Memory(path).trying == ""
    again.try_(NEW, stable=False)
    again.end()  # as it should
    assert Memory(path).trying == ""
    again.prove(NEW, stable=False)
    assert (Memory(path).in_force, Memory(path).back) == (NEW, {})
    again.went_back(NEW.name, Back("errors", 6.0, "origin"))
    assert Memory(path).in_force == STABLE


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"good": 5}', "\xff", '{"trying": "x"}', "[" * 100_000])
def test_a_memory_that_is_damaged_is_begun_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fleet_settings.json"
    path.write_text(text, "latin-1")
    assert (Memory(path).in_force, Memory(path).back) == (NOTHING, {})


def test_a_report_is_read_again_and_a_made_up_one_is_not() -> None:
    report = SettingsReport(7, "back", NEW.name, "errors")
    assert parse_settings_report(json.loads(json.dumps(report.to_json()))) == report
    changes: list[dict[str, Any]] = [
        {"state": "well"},
        {"tried": "x"},
        {"number": -1},
        {"cause": "A B"},
        {"more": 1},
        {"before": {}},
    ]
    for change in changes:
        with pytest.raises(FormatError):
            parse_settings_report({**report.to_json(), **change})
