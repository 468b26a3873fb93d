"""What is left of services that are withdrawn: found by the catalogue's word alone, wherever it can be known."""

from collections.abc import Mapping
from datetime import datetime

import pytest

from edge.content.records import record_key
from edge.supervisor.leftovers import dropped, find
from vmimage.errors import OriginUnreachable
from vmimage.holds import Holds
from vmimage.trust import ServiceRecord

DIGEST = "sha256:" + "0" * 64


def withdrawn(name: str, *written: tuple[str, int]) -> ServiceRecord:
    return ServiceRecord(name, (), DIGEST, 100, 5, written=written, withdrawn="2026-01-31T10:00:00Z")


class Names:
    """A catalogue in which some services are withdrawn; of some it knows only by asking."""

    expired, expired_for_s = False, 0.0

    def __init__(self, gone: Mapping[str, ServiceRecord], far: set[str], away: bool = False) -> None:
        self.gone, self.far, self.away = gone, far, away
        self.asked: list[str] = []
        self.held = Holds()

    def expiries(self) -> dict[str, datetime]:
        return {}

    def refresh(self) -> bool:
        return False

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        if not ask:
            return None
        return None

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        if not ask:
            return None
        return None

    def fetch_ahead(self) -> bool:
        return False

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        if name in self.far:
            if not ask:
                return None
            self.asked.append(name)
            if self.away:
                raise OriginUnreachable("x")
        return self.gone.get(name)

    def holds(self) -> Holds:
        return self.held

    def is_held(self, kind: str, name: str) -> bool:
        return False


def test_what_is_left_is_found() -> None:
    names = Names({name: withdrawn(name) for name in ("near", "far", "wrote", "known")}, {"far", "wrote"})
    keys = {name: record_key(name, DIGEST, name) for name in ("near", "far", "wrote", "known", "there", "stranger")}
    found = find(names, {"known"}, {"wrote", "there"}, list(keys.values()))
    assert [record.service for record in found.services] == ["wrote"]
    assert found.records == [keys["near"], keys["wrote"]]
    assert names.asked == ["wrote"], "a record alone is not worth asking for"


SINCE = "2026-01-31T10:00:00Z"
OTHER = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ("service shop", ["shop"]),
        ("tenant acme", ["shop", "news"]),
        (f"image {DIGEST}", ["shop", "blog"]),
        ("service x", []),
    ],
    ids=["service", "tenant", "image", "another"],
)
def test_records_of_what_is_held_go_though_nobody_asked(what: str, gone: list[str]) -> None:
    """After a release a machine would go on with what it remembered before; the origin need not be there for it."""
    names = Names({}, {"shop", "news", "blog"}, away=True)
    names.held = Holds({what: SINCE})
    keys = {
        "shop": record_key("shop", DIGEST, "acme"),
        "news": record_key("news", OTHER, "acme 0123abcd"),
        "blog": record_key("blog", DIGEST, "blog"),
    }
    assert find(names, set(), set(), list(keys.values())).records == [keys[name] for name in gone]


def test_an_origin_that_is_away_leaves_everything_as_it_is() -> None:
    names = Names({"wrote": withdrawn("wrote")}, {"wrote"}, away=True)
    found = find(names, set(), {"wrote"}, [record_key("wrote", DIGEST)])
    assert (found.services, found.records) == ([], [])


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (withdrawn("a"), set()),
        (withdrawn("a", ("data", 1)), set()),
        (withdrawn("a", ("data", 5)), {"data"}),
        (withdrawn("a", ("data", 5), ("notes", 2)), {"data"}),
    ],
)
def test_what_is_deleted_is_what_begins_with_the_withdrawal(record: ServiceRecord, expected: set[str]) -> None:
    assert dropped(record) == expected
