"""Can one of several sources keep the news from an edge, bring it back, or mix two states of the catalogue?"""

import copy
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge.catalogue.asking import COMPARE_EVERY, MetadataSource
from edge.catalogue.catalogue import Catalogue
from edge.common.counters import Counters
from edge.sources.health import FAILURES_MAX
from tests.attack.repository import Mirror, Repository, record
from vmimage.errors import VerificationError


class Pair:
    """An edge's two sources: the first may lie, the second is the origin."""

    def __init__(self, repository: Repository, first: Mirror, origin: Mirror, folder: Path) -> None:
        self.repository, self.first, self.origin = repository, first, origin
        self.counters = Counters()
        sources = [MetadataSource("first", first.url), MetadataSource("origin", origin.url)]
        self.edge = Catalogue(folder / "edge", sources, repository.root, self.counters)

    def freeze(self) -> None:
        """The first has from now on what there is at this moment."""
        self.first.repository = copy.copy(self.repository)
        self.first.repository.files = dict(self.repository.files)

    def counted(self, result: str) -> dict[str, int]:
        return {name: count for (name, what), count in self.counters.source_fetches.items() if what == result}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    repository = Repository()
    repository.publish(record("hello"))
    with ExitStack() as stack:
        first, origin = (stack.enter_context(Mirror(repository).running()) for _ in range(2))
        yield Pair(repository, first, origin, tmp_path)


def test_one_that_freezes_is_found_out_within_so_many_looks(pair: Pair) -> None:
    pair.freeze()
    assert pair.edge.refresh()
    pair.repository.publish(record("hello", 2))
    looks = 1
    while pair.edge.find_service("hello") == record("hello"):
        pair.edge.refresh()
        looks += 1
    assert looks <= COMPARE_EVERY + 1
    assert pair.edge.find_service("hello") == record("hello", 2)
    pair.origin.asked()
    for _ in range(FAILURES_MAX):
        pair.edge.refresh()
    assert pair.counted("behind") == {"first": FAILURES_MAX}, "it has failed each time since"
    pair.first.asked()
    pair.edge.refresh()
    assert pair.first.asked() == [], "and is asked no more before the origin"
    pair.repository.publish(record("hello", 3))
    pair.edge.refresh()
    assert pair.edge.find_service("hello") == record("hello", 3)


def test_one_that_freezes_from_the_start_is_found_out_at_once(pair: Pair) -> None:
    """An edge that starts compares at its first look: it knows nothing by which to see what is old."""
    pair.freeze()
    pair.repository.publish(record("hello", 2))
    assert pair.edge.refresh()
    assert pair.edge.find_service("hello") == record("hello", 2)


def test_one_that_goes_back_takes_nobody_along(pair: Pair) -> None:
    pair.repository.publish(record("hello", 2))
    pair.edge.refresh()
    assert pair.edge.find_service("hello") == record("hello", 2)
    pair.first.repository = copy.copy(pair.repository)
    pair.first.repository.files = dict(pair.repository.past[1])
    for version in (3, 4, 5):
        pair.repository.publish(record("hello", version))
        pair.edge.refresh()
        assert pair.edge.find_service("hello") == record("hello", version)
    assert pair.counted("behind") == {"first": 3}


def test_one_that_mixes_two_states_makes_room_for_the_next(pair: Pair) -> None:
    """The newest timestamp, and under the newest names what the snapshot and the bins were before."""
    pair.edge.refresh()
    before = dict(pair.repository.files)
    pair.repository.publish(record("hello", 2))
    pair.freeze()
    mixed = pair.first.repository.files
    bin_ = pair.repository.trust.bin_of("services/hello")
    for name in list(mixed):
        role = name.partition(".")[2]
        if role in ("snapshot.json", f"{bin_}.json") and name not in before:
            mixed[name] = next(data for old, data in before.items() if old.endswith(f".{role}"))
    assert mixed != pair.repository.files
    pair.edge.refresh()
    assert pair.edge.find_service("hello") == record("hello", 2)
    assert pair.counted("unverifiable") == {"first": 2}, "a snapshot and a bin that are not those that are named"


def test_one_that_lacks_a_file_is_helped_out(pair: Pair) -> None:
    pair.edge.refresh()
    bin_ = pair.repository.trust.bin_of("services/hello")
    pair.freeze()
    pair.first.repository.files = {n: d for n, d in pair.repository.files.items() if not n.endswith(f".{bin_}.json")}
    assert pair.edge.find_service("hello") == record("hello")
    assert pair.counted("missing") == {"first": 1}


def test_one_that_is_someone_elses_is_as_good_as_none(pair: Pair) -> None:
    stranger = Repository()
    stranger.publish(record("hello", 9))
    pair.first.repository = stranger
    pair.edge.refresh()
    assert pair.edge.find_service("hello") == record("hello")
    pair.origin.other = lambda _: (500, {})
    with pytest.raises(VerificationError):
        pair.edge.refresh()
    assert pair.edge.find_service("hello") == record("hello")


def test_a_look_that_finds_nothing_new_costs_one_conditional_request(pair: Pair) -> None:
    pair.edge.refresh()
    for mirror in (pair.first, pair.origin):
        mirror.requests.clear()
    for _ in range(COMPARE_EVERY - 1):
        assert not pair.edge.refresh()
    assert pair.first.requests == [("timestamp.json", True, 304)] * (COMPARE_EVERY - 1)
    assert pair.origin.requests == []
    pair.edge.refresh()
    assert [name for name, _, _ in pair.origin.requests] == ["timestamp.json"]
