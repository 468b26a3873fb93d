"""Edges speak to one of several origins: do the others know of them, and of none that no origin heard of?"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from origin.fleet.registry import SAME_S, Fleet
from origin.fleet.sharing import FOLDER, GONE_S, SKEW_MAX_S, Heard, Sharing, document, parse_document
from origin.storage.memory import Memory
from tests.support.synthetic import Keys
from vmimage.errors import FormatError, VerificationError
from vmimage.heartbeat import TTL_S, Heartbeat

BEAT = Heartbeat(edge="fra-1", pop="fra", version="1", applied=3)
OTHER = replace(BEAT, edge="sin-1", pop="sin")


class Time:
    """Of the bucket, and of all origins."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys") / "keys")


def sharing(blobs: Memory, keys: Keys, clock: Time) -> Sharing:
    return Sharing(blobs, lambda: keys.online.snapshot, lambda: keys.trust.root, clock)


def edges(found: Sequence[Heard]) -> dict[str, float]:
    return {beat.edge: round(age_s, 1) for beat, age_s, weight in found if weight == 2.5}


def test_each_origin_knows_what_the_others_have_heard_and_for_how_long(keys: Keys) -> None:
    clock = Time()
    blobs = Memory(clock)
    one, two = (sharing(blobs, keys, clock) for _ in range(2))
    assert one.exchange([Heard(BEAT, 1.0, 2.5)]) == []
    clock.now += 2
    assert edges(two.exchange([Heard(OTHER, 0.5, 2.5)])) == {"fra-1": 3.0}
    assert edges(one.exchange([])) == {"sin-1": 0.5}
    clock.now += TTL_S - 1
    assert edges(two.exchange([])) == {}, "neither is live any more"
    one.leave()
    two.leave()
    assert list(blobs.list(FOLDER)) == []


def test_what_an_origin_left_behind_is_removed(keys: Keys) -> None:
    clock = Time()
    blobs = Memory(clock)
    sharing(blobs, keys, clock).exchange([Heard(BEAT, 0.0, 2.5)])
    clock.now += GONE_S + 1
    survivor = sharing(blobs, keys, clock)
    assert survivor.exchange([]) == []
    assert len(list(blobs.list(FOLDER))) == 1


def test_who_writes_to_the_bucket_names_no_edges(keys: Keys, tmp_path: Path) -> None:
    clock = Time()
    blobs = Memory(clock)
    thief = Keys(tmp_path / "thief")
    good = document([Heard(BEAT, 0.0, 2.5)], clock(), keys.online.snapshot)
    old = document([Heard(BEAT, 0.0, 2.5)], clock() - SKEW_MAX_S - 1, keys.online.snapshot)
    forged = document([Heard(BEAT, 0.0, 2.5)], clock(), thief.online.snapshot)
    for name, data in (("old", old), ("forged", forged), ("bent", good.replace(b"fra-1", b"fra-2")), ("short", b"{")):
        blobs.put(f"{FOLDER}/{name}.json", data)
    assert sharing(blobs, keys, clock).exchange([]) == []
    blobs.put(f"{FOLDER}/good.json", good)
    assert edges(sharing(blobs, keys, clock).exchange([])) == {"fra-1": 0.0}
    with pytest.raises(VerificationError):
        parse_document(forged, keys.trust.root, clock())
    with pytest.raises(FormatError, match="at_ms"):
        parse_document(old, keys.trust.root, clock())


def test_news_of_an_edge_is_what_is_newer_than_what_is_known() -> None:
    fleet = Fleet()
    fleet.hear(BEAT, 10.0, 10_000)
    assert not fleet.told(replace(BEAT, applied=2), 9.0, 9_000)
    assert not fleet.told(BEAT, 10.0 + SAME_S / 2, 10_500), "the same heart-beat, as another origin reckons"
    assert fleet.told(replace(BEAT, applied=5), 15.0, 15_000)
    assert fleet.told(OTHER, 15.0, 15_000)
    assert fleet.reached(5, 16.0).lagging == ["sin-1"]
    assert fleet.heard_here(16.0) == [], "others' edges are not told on"
    assert [member.id for member in fleet.members("sin", 16.0)] == [], "its token did not say that it is there"
    assert fleet.told(OTHER, 17.0, 17_000, weight=2.5)
    assert [(member.id, member.weight) for member in fleet.members("sin", 17.0)] == [("sin-1", 2.5)]
    fleet.hear(BEAT, 17.0, 17_000)
    assert [known.beat.edge for known in fleet.heard_here(17.0)] == ["fra-1"]
