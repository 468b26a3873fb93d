"""A feed under attack: who has not the snapshot key says nothing, and who has a token speaks for itself alone."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from origin.fleet.registry import BURST
from tests.support.fleet import FleetOrigin, fleet_origin
from tests.support.synthetic import TOKEN
from vmimage.feed import EVENT_MAX, parse_event
from vmimage.heartbeat import HEARTBEAT_MAX, Heartbeat
from vmimage.membership import parse_membership
from vmimage.purges import Purge

BEAT = Heartbeat(edge="edge-1", pop="fra", version="1")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetOrigin]:
    with fleet_origin(tmp_path_factory.mktemp("fleet")) as running:
        yield running


def purging(*purges: Purge) -> bytes:
    return json.dumps({"purges": [each.to_json() for each in purges]}).encode()


def edges(origin: FleetOrigin) -> list[str]:
    return [each["edge"] for each in origin.ask("GET", "/fleet").json()["edges"]]


def test_a_heartbeat_is_of_the_edge_whose_token_is_shown(origin: FleetOrigin) -> None:
    token = origin.token("edge-1")
    other = replace(BEAT, edge="edge-2").to_bytes()
    assert origin.ask("POST", "/fleet/heartbeats", other, token).status == 403
    assert "edge-2" not in edges(origin)
    assert origin.ask("POST", "/fleet/heartbeats", BEAT.to_bytes(), token).status == 200
    assert "edge-1" in edges(origin)


@pytest.mark.parametrize("kind", ["none", "operator", "tenant", "wrong"])
def test_no_other_token_opens_heartbeats(origin: FleetOrigin, kind: str) -> None:
    """Not even the operator's: an edge says how it is, and nobody for it."""
    tokens = {"none": "", "operator": TOKEN, "tenant": origin.tenant_token("shop"), "wrong": "nk00000000.x"}
    assert origin.ask("POST", "/fleet/heartbeats", BEAT.to_bytes(), tokens[kind]).status == 401


def test_a_flood_of_heartbeats_is_cut_short(origin: FleetOrigin) -> None:
    token = origin.token("loud")
    beat = replace(BEAT, edge="loud").to_bytes()
    statuses = [origin.ask("POST", "/fleet/heartbeats", beat, token).status for _ in range(5 * BURST)]
    assert set(statuses) == {200, 429}
    assert statuses[:BURST] == [200] * BURST
    assert origin.ask("POST", "/fleet/heartbeats", BEAT.to_bytes(), origin.token("edge-1")).status == 200


@pytest.mark.parametrize("path", ["/fleet/heartbeats", "/fleet/purge"])
def test_a_huge_body_is_refused(origin: FleetOrigin, path: str) -> None:
    token = origin.token("huge") if path == "/fleet/heartbeats" else TOKEN
    before = origin.feed.log.last
    assert origin.ask("POST", path, b" " * (2 * max(HEARTBEAT_MAX, EVENT_MAX)), token).status == 413
    assert origin.feed.log.last == before


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{" * 50_000, b'{"purges":[]}', purging(Purge("uri", "", "no host")), b"\xff"], ids=repr
)
def test_what_is_no_purge_becomes_no_event(origin: FleetOrigin, body: bytes) -> None:
    before = origin.feed.log.last
    assert origin.ask("POST", "/fleet/purge", body).status == 400
    assert origin.feed.log.last == before


@pytest.mark.parametrize("purge", [Purge("all"), Purge("tag", "", "x"), Purge("service", "others")], ids=str)
def test_a_tenant_purges_what_is_its_own(origin: FleetOrigin, purge: Purge) -> None:
    before = origin.feed.log.last
    assert origin.ask("POST", "/fleet/purge", purging(purge), origin.tenant_token("shop")).status == 403
    assert origin.feed.log.last == before


@pytest.mark.parametrize("kind", ["none", "edge"])
def test_an_edge_purges_nothing(origin: FleetOrigin, kind: str) -> None:
    token = origin.token("edge-9") if kind == "edge" else ""
    assert origin.ask("POST", "/fleet/purge", purging(Purge("all")), token).status == 401


@pytest.mark.parametrize("path", ["/fleet", "/fleet/members?pop=fra", "/fleet/wait"])
def test_the_fleet_is_shown_to_whom_it_concerns(origin: FleetOrigin, path: str) -> None:
    assert origin.ask("GET", path, token="").status == 401
    assert origin.ask("GET", path, token="nk00000000.x").status == 401
    assert origin.ask("GET", path).status == 200


def test_members_are_signed_and_of_one_pop(origin: FleetOrigin) -> None:
    token = origin.token("edge-1", "fra")
    origin.ask("POST", "/fleet/heartbeats", BEAT.to_bytes(), token)
    root = origin.keys.trust.root
    members = parse_membership(origin.ask("GET", "/fleet/members?pop=fra", token=token).data, root).members
    assert "edge-1" in [member.id for member in members]
    assert parse_membership(origin.ask("GET", "/fleet/members?pop=ams").data, root).members == ()
    assert origin.ask("GET", "/fleet/members?pop=../x", token=token).status == 400


def test_an_edge_is_a_peer_where_its_token_says_it_is_and_nowhere_else(origin: FleetOrigin) -> None:
    """Else who holds the token of any edge would be sent the requests of every POP, and choose where peers connect."""
    placed, loose = origin.token("edge-2", "fra"), origin.token("edge-3")
    moved = replace(BEAT, edge="edge-2", pop="ams")
    assert origin.ask("POST", "/fleet/heartbeats", moved.to_bytes(), placed).status == 403
    assert origin.ask("POST", "/fleet/heartbeats", replace(BEAT, edge="edge-2").to_bytes(), placed).status == 200
    assert origin.ask("POST", "/fleet/heartbeats", replace(BEAT, edge="edge-3").to_bytes(), loose).status == 200
    found = parse_membership(origin.ask("GET", "/fleet/members?pop=fra").data, origin.keys.trust.root).members
    assert {"edge-2"} == {member.id for member in found} - {"edge-1"}
    assert {each["edge"] for each in origin.ask("GET", "/fleet").json()["edges"]} >= {"edge-2", "edge-3"}
    for token in (placed, loose):
        assert origin.ask("GET", "/fleet/members?pop=ams", token=token).status == 403


@pytest.mark.parametrize("after", ["x", "-1", "1" * 20])
def test_a_place_in_the_feed_is_a_number(origin: FleetOrigin, after: str) -> None:
    assert [origin.ask("GET", f"/{page}?after={after}").status for page in ("feed", "feed/log")] == [400, 400]


def test_events_are_numbered_and_signed(origin: FleetOrigin) -> None:
    first = origin.feed.log.last
    numbers = [origin.ask("POST", "/fleet/purge", purging(Purge("all"))).json()["seq"] for _ in range(3)]
    assert numbers == [first + 1, first + 2, first + 3]
    lines = origin.ask("GET", f"/feed/log?after={first}", token="").data.splitlines()
    events: list[Any] = [parse_event(line, origin.keys.trust.root) for line in lines]
    assert [event.seq for event in events] == numbers


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "1e999"])
def test_a_wait_of_no_number_of_seconds_holds_up_no_timer(origin: FleetOrigin, seconds: str) -> None:
    """A timer at no time stands in the queue of all timers, and those behind it never come."""
    for _ in range(3):
        assert origin.ask("GET", f"/fleet/wait?seq=99&seconds={seconds}").status == 400
    assert origin.ask("GET", "/fleet/wait?seq=99&seconds=0.1").status == 200


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_heartbeat_with_no_finite_number_is_none(origin: FleetOrigin, number: str) -> None:
    """Origins that share a bucket tell each other of all edges in one document, which can hold no such number."""
    fields = {**json.loads(BEAT.to_bytes()), "edge": "edge-9", "measured": {"x": 0}}
    body = json.dumps(fields).replace('"x": 0', f'"x": {number}').encode()
    assert origin.ask("POST", "/fleet/heartbeats", body, origin.token("edge-9")).status == 400
    assert "edge-9" not in edges(origin)
