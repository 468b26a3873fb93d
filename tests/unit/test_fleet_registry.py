"""Which edges are live, how far is each, and what does one that floods cost?"""

from dataclasses import replace

from origin.fleet.registry import BURST, EVERY_S, REMEMBERED_S, Fleet
from vmimage.heartbeat import TTL_S, Heartbeat

BEAT = Heartbeat(edge="edge-1", pop="fra", version="1", applied=3)


def fleet_of(*beats: Heartbeat, now: float = 0.0) -> Fleet:
    fleet = Fleet()
    for beat in beats:
        fleet.hear(beat, now, 1000, weight=1.0)
    return fleet


def named(*names: str) -> list[Heartbeat]:
    return [replace(BEAT, edge=name) for name in names]


def test_an_edge_that_is_silent_is_gone_and_later_forgotten() -> None:
    fleet = fleet_of(*named("b", "a"))
    assert [known.beat.edge for known in fleet.live(TTL_S)] == ["a", "b"]
    assert fleet.live(TTL_S + 1) == []
    assert [is_live for _, is_live in fleet.all(TTL_S + 1)] == [False, False]
    assert list(fleet.all(REMEMBERED_S + 1)) == []


def test_members_of_a_pop_are_the_live_edges_there() -> None:
    fleet = fleet_of(*named("b", "a"), replace(BEAT, edge="c", pop="ams"))
    assert [member.id for member in fleet.members("fra", 1.0)] == ["a", "b"]
    assert [member.id for member in fleet.members("ams", 1.0)] == ["c"]
    assert fleet.members("fra", TTL_S + 1) == ()


def test_who_has_applied_an_event_and_how_long_after_it_was_given_its_number() -> None:
    fleet = fleet_of(*named("a", "b", "c"))
    fleet.given(4, 1.0)
    fleet.hear(replace(BEAT, edge="a", applied=4), 1.1, 1000)
    fleet.hear(replace(BEAT, edge="b", applied=7), 1.5, 1000)
    fleet.hear(replace(BEAT, edge="a", applied=5), 9.0, 1000)
    reached = fleet.reached(4, 9.0)
    assert reached.lagging == ["c"]
    assert {edge: round(s, 3) for edge, s in reached.applied.items()} == {"a": 0.1, "b": 0.5}
    assert (reached.percentile_ms(0.5), reached.percentile_ms(0.99)) == (500.0, 500.0)


def test_an_edge_that_began_anew_has_applied_nothing() -> None:
    fleet = fleet_of(replace(BEAT, applied=9))
    fleet.hear(replace(BEAT, applied=-1), 1.0, 1000)
    assert fleet.reached(4, 1.0).lagging == ["edge-1"]


def test_nobody_lags_where_nobody_is() -> None:
    reached = Fleet().reached(1, 0.0)
    assert (reached.applied, reached.lagging, reached.percentile_ms(0.5)) == ({}, [], None)


def test_a_flood_of_heartbeats_is_cut_and_others_are_heard() -> None:
    fleet = Fleet()
    taken = sum(fleet.may_speak("loud", 0.0) for _ in range(10_000))
    assert taken == BURST
    assert fleet.may_speak("quiet", 0.0)
    assert sum(fleet.may_speak("loud", 10 * EVERY_S) for _ in range(100)) == BURST
