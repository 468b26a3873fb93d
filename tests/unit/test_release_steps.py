"""Does each step of a release sign what it says, and is what cannot be, or has grown too much, refused before?"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tuf.api.metadata import Targets

from edge.catalogue.catalogue import Catalogue
from origin.model.publication import Publication
from origin.publish import holds, names, releases
from origin.publish.client import carry_out
from origin.publish.entries import Exchange
from origin.publish.listing import one_service, summary
from origin.publish.publish import publish
from origin.publish.releases import Plan, Publisher
from origin.publish.shape import FILE_LEAST, IMAGE_LEAST, odd, require_usual
from origin.publish.tenants import Operator
from origin.registry.prune import Rules, kept_images
from origin.registry.store import Store
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin
from vmimage.abi import PAGE_SIZE
from vmimage.archive import ImageBundle
from vmimage.canonical import Blob
from vmimage.drives import DriveRef
from vmimage.errors import PublisherError
from vmimage.holds import HOLDS_PATH, Holds, Pin, holds_target
from vmimage.manifest import SNAPSHOT_TYPE
from vmimage.release import Candidate, Gates
from vmimage.trust import ServiceRecord, make_targets

ONE, TWO, THREE = (publication("shop", "shop.example", content=text) for text in (b"one", b"two", b"three"))
SINCE = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("steps") / "keys")


class Desk:
    """A publisher, who is the operator too, and an edge that looks when it is asked."""

    def __init__(self, url: str, keys: Keys, folder: Path) -> None:
        self.url, self.keys = url, keys
        self.by = Publisher(keys.trust, keys.publisher, NOW)
        self.operator = Operator(keys.trust, keys.publisher, NOW)
        self.edge = Catalogue(folder, f"{url}/tuf/", keys.root)

    def do(self, exchange: Exchange) -> ServiceRecord:
        [record] = carry_out(exchange, url=self.url, token=TOKEN)
        return record

    def publish(self, what: Publication, *, sure: bool = True) -> ServiceRecord:
        return self.do(publish([what], self.keys.trust, self.keys.publisher, NOW, sure=sure))

    def start(self, what: Publication, share: int = 100) -> ServiceRecord:
        return self.do(releases.start(self.by, what, Plan(share, ("fra",), Gates(crashes=2))))

    def seen(self) -> ServiceRecord:
        """The service as the edge believes it after a look."""
        self.edge.refresh()
        record = self.edge.find_host("shop.example")
        assert record is not None
        assert record == self.edge.find_service("shop")
        return record


@pytest.fixture
def desk(keys: Keys, tmp_path: Path) -> Iterator[Desk]:
    store = Store(tmp_path / "store")
    with running_origin(store, keys) as url:
        yield Desk(url, keys, tmp_path / "edge")
    store.close()


def test_a_release_step_by_step(desk: Desk) -> None:
    desk.publish(ONE)
    record = desk.start(TWO)
    candidate = record.candidate
    assert candidate is not None
    assert (record.version, record.manifest_digest, candidate.digest) == (2, ONE.image, TWO.image)
    assert (candidate.share, candidate.pops, candidate.since) == (100, ("fra",), SINCE)
    assert desk.seen() == record
    wider = desk.do(releases.widen(desk.by, "shop", None, None))
    assert wider.candidate == replace(candidate, share=500)
    assert desk.do(releases.widen(desk.by, "shop", None, ())).candidate == replace(candidate, share=500, pops=())
    hosts = desk.do(names.add_hosts("shop", ["more.example"], desk.keys.trust, desk.keys.publisher, NOW))
    assert hosts.candidate == replace(candidate, share=500, pops=()), "another change leaves it as it is"
    found = carry_out(one_service("shop", desk.keys.trust), url=desk.url)
    assert summary(found.record)["candidate"]["share"] == 5
    done = desk.do(releases.finish(desk.by, "shop"))
    assert (done.version, done.manifest_digest, done.candidate) == (6, TWO.image, None)
    assert desk.seen() == done


def test_back_leaves_the_stable_version(desk: Desk) -> None:
    desk.publish(ONE)
    desk.start(TWO)
    back = desk.do(releases.back(desk.by, "shop"))
    assert (back.manifest_digest, back.candidate) == (ONE.image, None)
    warned: list[str] = []
    assert desk.do(releases.back(replace(desk.by, warn=warned.append), "shop")) == back, "once is enough"
    assert warned == ["no release of shop is under way: nothing changes"]
    assert desk.start(TWO).candidate is not None, "the same again is another release"


def test_what_is_published_at_once_ends_a_release(desk: Desk) -> None:
    desk.publish(ONE)
    desk.start(TWO)
    record = desk.publish(THREE)
    assert (record.manifest_digest, record.candidate) == (THREE.image, None)


def test_what_cannot_be_is_refused_and_changes_nothing(desk: Desk) -> None:
    with pytest.raises(PublisherError, match="a published service"):
        desk.start(TWO)
    before = desk.publish(ONE)
    for wrong, exchange in {
        "another image": releases.start(desk.by, ONE, Plan(100)),
        "under way": releases.widen(desk.by, "shop", 500, None),
        "under way expected": releases.finish(desk.by, "shop"),
    }.items():
        with pytest.raises(PublisherError, match=wrong):
            desk.do(exchange)
    assert desk.seen() == before
    released = desk.start(TWO, 500)
    with pytest.raises(PublisherError, match="no release under way"):
        desk.start(THREE)
    with pytest.raises(PublisherError, match="at least 5 %"):
        desk.do(releases.widen(desk.by, "shop", 100, None))
    assert desk.seen() == released


def test_versions_that_write_to_a_disk_are_not_released_in_stages(desk: Desk) -> None:
    """Both would write to the same pages. Nothing is sent, so that the disk need not be there."""
    before = desk.publish(ONE)
    base, derived = TWO.images
    disk = DriveRef(PAGE_SIZE, "sha256:" + "dd" * 32, "cow", "data")
    image = ImageBundle(replace(derived.manifest, disks=(disk,)), derived.blobs)
    with pytest.raises(PublisherError, match="the candidate writes to data"):
        desk.start(replace(TWO, images=(base, image), image=image.manifest.digest))
    assert desk.seen() == before


def test_the_operator_pins_what_a_service_has_or_had(desk: Desk) -> None:
    desk.publish(ONE)
    desk.publish(TWO)
    released = desk.start(THREE)
    carry_out(holds.pin(desk.operator, "shop", 1), url=desk.url, token=TOKEN)
    pinned = desk.seen()
    assert (pinned.manifest_digest, pinned.candidate, pinned.hosts) == (ONE.image, None, released.hosts)
    warned: list[str] = []
    operator = replace(desk.operator, warn=warned.append)
    carry_out(holds.hold(operator, ["service other", "service shop"]), url=desk.url, token=TOKEN)
    assert warned == ["service other is not there: it is held once somebody publishes it"]
    carry_out(holds.release(operator, ["service shop"]), url=desk.url, token=TOKEN)
    assert desk.seen() == pinned, "another hold leaves it as it is"
    for version in (0, 4):
        with pytest.raises(PublisherError, match="from 1 to 3"):
            carry_out(holds.pin(desk.operator, "shop", version), url=desk.url, token=TOKEN)
    carry_out(holds.unpin(desk.operator, "shop"), url=desk.url, token=TOKEN)
    assert desk.seen() == released
    with pytest.raises(PublisherError, match="pinned expected"):
        carry_out(holds.unpin(desk.operator, "shop"), url=desk.url, token=TOKEN)


def test_what_is_pinned_or_a_candidate_is_not_pruned() -> None:
    stable, candidate, pinned = (f"sha256:{digits * 32}" for digits in ("aa", "bb", "cc"))
    record = ServiceRecord("shop", (), stable, 100, 1)
    released = replace(record, candidate=Candidate(candidate, 100, None, SINCE, 100))
    targets = make_targets(released, ()) | {HOLDS_PATH: holds_target(Holds(pins={"shop": Pin(pinned, 9, 1, SINCE)}))}
    assert kept_images([Targets(targets=dict(targets))], Rules(), NOW) == {stable, candidate, pinned}


# What has grown.


def _record(size: int, hosts: int = 1) -> ServiceRecord:
    snapshot = Blob(SNAPSHOT_TYPE, f"sha256:{size:064x}", size)
    named = tuple(f"h{number}.example" for number in range(hosts))
    return ServiceRecord("shop", named, f"sha256:{size:064x}", 100, 1, snapshot=snapshot)


def test_what_doubled_is_asked_about_and_nothing_else() -> None:
    small, large = _record(IMAGE_LEAST), _record(2 * IMAGE_LEAST)
    assert odd({"shop": small}, [large], {}) == [f"shop: an image of {2 * IMAGE_LEAST} bytes, {IMAGE_LEAST} before"]
    assert odd({"shop": large}, [small], {}) == []
    assert odd({"shop": None}, [large], {}) == []
    assert odd({"shop": _record(1000)}, [_record(5000)], {}) == [], "small things may grow"
    [line] = odd({}, [], {"bin-00": (FILE_LEAST, 2 * FILE_LEAST), "bin-01": (0, 1 << 20), "bin-02": (900, 2000)})
    assert line.startswith("bin-00")
    assert odd({"shop": _record(9, 8)}, [_record(9, 20)], {}) == ["shop: 20 hosts, 8 before"]
    released = replace(small, candidate=Candidate("sha256:" + "0" * 64, 1, large.snapshot, SINCE, 1))
    assert odd({"shop": small}, [released], {}) == [
        f"shop: a candidate of {2 * IMAGE_LEAST} bytes, {IMAGE_LEAST} before"
    ]
    with pytest.raises(PublisherError, match="--yes"):
        require_usual([line])
    require_usual([])


def test_a_service_with_hosts_without_end_is_published_with_yes_only(desk: Desk) -> None:
    desk.publish(ONE, sure=False)
    many = replace(ONE, hosts=tuple(f"h{number}.example" for number in range(20)))
    before = desk.seen()
    with pytest.raises(PublisherError, match="20 hosts, 1 before"):
        desk.publish(many, sure=False)
    assert desk.seen() == before
    assert len(desk.publish(many).hosts) == 20
