"""A service's name and hosts: withdrawn, renamed, given up and taken again; what edges believe, and what is listed."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.catalogue.catalogue import Catalogue
from origin.model.exchange import TIMESTAMP_FILE
from origin.model.publication import Publication
from origin.publish import names
from origin.publish.audit import read_audit
from origin.publish.client import carry_out
from origin.publish.entries import Exchange
from origin.publish.listing import Found, all_services, details, history, one_service, summary, unknown
from origin.publish.publish import publish, rollback
from origin.registry.store import Store
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin, send
from vmimage.abi import PAGE_SIZE
from vmimage.archive import ImageBundle
from vmimage.drives import DriveRef
from vmimage.errors import OriginError, PublisherError, VerificationError
from vmimage.trust import ServiceRecord, Trust, service_path

ONE, TWO = publication("shop", "shop.example"), publication("shop", "shop.example", content=b"new")
SINCE = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
DISK = DriveRef(PAGE_SIZE, "sha256:" + "dd" * 32, "cow", "data")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("names") / "keys")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


class Publisher:
    """Somebody with the keys, and an edge that looks when it is asked."""

    def __init__(self, url: str, keys: Keys, folder: Path) -> None:
        self.url, self.keys = url, keys
        self.edge = Catalogue(folder, f"{url}/tuf/", keys.root)

    def do(self, exchange: Exchange) -> list[ServiceRecord]:
        return carry_out(exchange, url=self.url, token=TOKEN)

    def publish(self, *publications: Publication, written: Any = None) -> list[ServiceRecord]:
        return self.do(publish(publications, self.keys.trust, self.keys.publisher, NOW, written))

    def rollback(self, service: str, to: int | None = None) -> ServiceRecord:
        [record] = self.do(rollback(service, to, self.keys.trust, self.keys.publisher, NOW))
        return record

    def change(self, how: Callable[..., Exchange], *words: Any, **options: Any) -> list[ServiceRecord]:
        return self.do(how(*words, self.keys.trust, self.keys.publisher, NOW, **options))

    def seen(self, name: str) -> tuple[int, tuple[str, ...]] | None:
        """Version and hosts, as the edge believes them after a look."""
        self.edge.refresh()
        record = self.edge.find_service(name)
        return (record.version, record.hosts) if record is not None else None

    def found(self, service: str) -> Found:
        return carry_out(one_service(service, self.keys.trust, with_image=True), url=self.url)


@pytest.fixture
def publisher(store: Store, keys: Keys, tmp_path: Path) -> Iterator[Publisher]:
    with running_origin(store, keys) as url:
        yield Publisher(url, keys, tmp_path / "edge")


# Withdrawn.


def test_a_service_that_is_withdrawn_is_not_there_and_its_versions_go_on(publisher: Publisher) -> None:
    publisher.publish(ONE)
    publisher.publish(TWO)
    assert publisher.seen("shop") == (2, ONE.hosts)
    [record] = publisher.change(names.withdraw, "shop")
    assert (record.version, record.withdrawn, record.hosts) == (3, SINCE, ())
    assert publisher.seen("shop") is None
    assert publisher.edge.find_host("shop.example") is None
    assert publisher.edge.find_withdrawn("shop") == record
    assert publisher.change(names.withdraw, "shop") == [record], "once is enough"
    publisher.publish(publication("other", "shop.example"))  # the host is free
    [again] = publisher.publish(replace(TWO, hosts=("new.example",)))
    assert (again.version, publisher.seen("shop")) == (4, (4, ("new.example",)))
    assert publisher.edge.find_withdrawn("shop") is None
    assert publisher.edge.find_withdrawn("nobody") is None
    assert publisher.rollback("shop", 1).manifest_digest == ONE.image, "the history has stayed"


def test_a_rollback_brings_a_withdrawn_service_back_without_hosts(publisher: Publisher) -> None:
    publisher.publish(ONE)
    publisher.change(names.withdraw, "shop")
    back = publisher.rollback("shop")
    assert (back.version, back.manifest_digest, back.hosts) == (3, ONE.image, ())
    [record] = publisher.change(names.add_hosts, "shop", ["shop.example"])
    assert publisher.seen("shop") == (record.version, ONE.hosts) == (4, ONE.hosts)


def test_what_is_not_known_here_is_not_asked_for_where_that_is_not_wanted(
    publisher: Publisher, keys: Keys, tmp_path: Path
) -> None:
    publisher.publish(ONE)
    publisher.change(names.withdraw, "shop")
    edge = Catalogue(tmp_path / "another", f"{publisher.url}/tuf/", keys.root)
    edge.refresh()
    assert edge.find_withdrawn("shop", ask=False) is None
    assert edge.find_withdrawn("shop") is not None
    assert edge.find_withdrawn("shop", ask=False) is not None


def with_disk(service: str, content: bytes = b"") -> Publication:
    """An image with a copy-on-write disk."""
    made = publication(service, f"{service}.example", content=content)
    base, derived = made.images
    image = ImageBundle(replace(derived.manifest, disks=(DISK,)), derived.blobs)
    return replace(made, images=(base, image), image=image.manifest.digest)


@pytest.fixture
def writing(publisher: Publisher, store: Store, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """A service that writes to a disk, published as version 1; the disk itself is of no interest."""
    known = store.use
    monkeypatch.setattr(store, "use", lambda path: 1 if path == store.manifest_path(str(DISK.digest)) else known(path))
    [record] = publisher.publish(with_disk("shop"))
    assert record.written == (("data", 1),)
    return publisher


def test_who_withdraws_a_service_that_writes_says_what_becomes_of_it(writing: Publisher) -> None:
    with pytest.raises(PublisherError, match=r"--written keep or --written drop expected, got neither: .* disk data"):
        writing.change(names.withdraw, "shop")
    [kept] = writing.change(names.withdraw, "shop", written="keep")
    assert (kept.version, kept.written) == (2, (("data", 1),))
    [again] = writing.publish(with_disk("shop", b"new"))
    assert (again.version, again.written) == (3, (("data", 1),)), "the same disk: what was written is there again"
    writing.change(names.withdraw, "shop", written="keep")
    [dropped] = writing.change(names.withdraw, "shop", written="drop")  # said later
    assert (dropped.version, dropped.written) == (5, (("data", 5),))
    assert writing.change(names.withdraw, "shop", written="drop") == [dropped]
    [anew] = writing.publish(with_disk("shop"))
    assert anew.written == (("data", 5),), "another number: what was written before is not believed"


# Renamed.


def test_a_service_by_another_name(publisher: Publisher) -> None:
    publisher.publish(replace(ONE, tenant="acme"))
    publisher.seen("shop")
    publisher.change(names.rename, "shop", "store")
    assert (publisher.seen("shop"), publisher.seen("store")) == (None, (1, ONE.hosts))
    found = publisher.edge.find_host("shop.example")
    assert found == publisher.edge.find_service("store")
    assert found is not None
    assert (found.tenant, found.manifest_digest) == ("acme", ONE.image)
    publisher.change(names.rename, "store", "shop")
    assert (publisher.seen("store"), publisher.seen("shop")) == (None, (3, ONE.hosts)), "versions go on by name"


def test_a_renamed_service_keeps_the_tenant_that_it_was_by_its_name(publisher: Publisher) -> None:
    publisher.publish(ONE)
    records = {record.service: record for record in publisher.change(names.rename, "shop", "store")}
    assert (records["store"].tenant, records["shop"].tenant) == ("shop", "shop")


def test_names_that_cannot_be_given(publisher: Publisher, store: Store) -> None:
    publisher.publish(ONE, publication("other"), publication("gone"))
    publisher.change(names.withdraw, "gone")
    before = store.read_metadata(TIMESTAMP_FILE)
    for words, why in (
        (("shop", "other"), "a name that no service has expected, got 'other'"),
        (("nobody", "new"), "a published service expected, got 'nobody'"),
        (("gone", "new"), f"a published service expected, got 'gone', which is withdrawn since {SINCE}"),
        (("shop", "shop"), "another name expected"),
        (("shop", "No Name"), "cannot be published"),
    ):
        with pytest.raises(PublisherError, match=why):
            publisher.change(names.rename, *words)
    assert store.read_metadata(TIMESTAMP_FILE) == before


def test_what_a_service_wrote_does_not_go_along_unsaid(writing: Publisher) -> None:
    for said in (None, "keep"):
        with pytest.raises(PublisherError, match=r"--written drop expected for shop: .* disk data"):
            writing.change(names.rename, "shop", "store", written=said)
    records = {record.service: record for record in writing.change(names.rename, "shop", "store", written="drop")}
    assert records["store"].written == (("data", 1),), "version 1 of store, of which nothing is written anywhere"
    assert records["shop"].written == (("data", 1),), "kept aside under the old name"


# Hosts.


def test_hosts_are_added_and_removed(publisher: Publisher) -> None:
    publisher.publish(ONE)
    [record] = publisher.change(names.add_hosts, "shop", ["WWW.shop.example.", "shop.example"])
    assert (record.version, record.hosts) == (2, ("shop.example", "www.shop.example"))
    assert publisher.change(names.add_hosts, "shop", ["shop.example"]) == [record], "it has that one"
    [record] = publisher.change(names.remove_hosts, "shop", ["shop.example", "www.shop.example"])
    assert (record.version, record.hosts, publisher.seen("shop")) == (3, (), (3, ()))
    assert record.manifest_digest == ONE.image
    with pytest.raises(PublisherError, match=r"a host of shop expected \(none\), got 'shop.example'"):
        publisher.change(names.remove_hosts, "shop", ["shop.example"])
    publisher.publish(publication("other", "taken.example"))
    with pytest.raises(PublisherError, match="one that service other has"):
        publisher.change(names.add_hosts, "shop", ["taken.example"])


def test_a_change_undoes_nothing_of_one_that_came_first(publisher: Publisher) -> None:
    """Another publisher's new image is between the look and the signature: it stays, with the new host."""
    publisher.publish(ONE)
    exchange = names.add_hosts("shop", ["new.example"], publisher.keys.trust, publisher.keys.publisher, NOW)

    group, submissions, records = next(exchange), 0, list[ServiceRecord]()
    while not records:
        if any(request.path == "/tuf/roles" for request in group):
            submissions += 1
            if submissions == 1:
                publisher.publish(TWO)
        try:
            group = exchange.send([send(publisher.url, request) for request in group])
        except StopIteration as stop:
            records = stop.value
    [record] = records
    assert submissions == 2
    assert (record.version, record.manifest_digest, record.hosts) == (3, TWO.image, ("shop.example", "new.example"))


# Refused before anything is sent.


def uploads(store: Store) -> int:
    return sum(1 for _ in store.contents("blobs", "manifests"))


def test_a_publish_that_no_edge_could_use_sends_nothing(
    publisher: Publisher, store: Store, keys: Keys, tmp_path: Path
) -> None:
    publisher.publish(publication("other", "taken.example"))
    before = uploads(store)
    taken = publication("shop", "taken.example", content=b"x")
    with pytest.raises(PublisherError, match="one that service other has"):
        publisher.publish(taken)
    with pytest.raises(PublisherError, match="cannot be published"):
        publisher.publish(publication("NOT OK", content=b"x"))
    with pytest.raises(PublisherError, match="token: status 200 of the origin expected, got 401"):
        carry_out(publish([TWO], keys.trust, keys.publisher, NOW), url=publisher.url, token="another-token-altogether")
    other = Keys(tmp_path / "other")
    with pytest.raises(VerificationError, match=r"root version 1 of the origin: .* got another"):
        carry_out(publish([TWO], other.trust, other.publisher, NOW), url=publisher.url, token=TOKEN)
    assert uploads(store) == before


def test_an_origin_that_is_behind_the_key_folder(publisher: Publisher, store: Store, keys: Keys) -> None:
    Path(store.metadata_path("1.root.json")).unlink()
    with pytest.raises(OriginError, match="root version 1 of the key folder expected at the origin too"):
        publisher.publish(ONE)
    assert uploads(store) == 0


# Listed.


def services(publisher: Publisher) -> dict[str, dict[str, Any]]:
    trust: Trust = publisher.keys.trust
    return {record.service: summary(record) for record in carry_out(all_services(trust), url=publisher.url)}


def test_services_are_listed_and_shown(publisher: Publisher) -> None:
    assert services(publisher) == {}
    publisher.publish(replace(ONE, tenant="acme"), publication("other"), publication("gone"))
    publisher.change(names.withdraw, "gone")
    listed = services(publisher)
    assert list(listed) == ["gone", "other", "shop"]
    assert listed["gone"]["withdrawn"] == SINCE
    shop = {"service": "shop", "version": 1, "hosts": ["shop.example"], "tenant": "acme", "image": ONE.image}
    assert listed["shop"] == shop | {"withdrawn": None}
    about = details(publisher.found("shop"))
    base, image = (each.manifest for each in ONE.images)
    assert {name: about[name] for name in shop} == shop
    assert about["sizes"] == {
        "image": len(image.to_bytes()) + sum(blob.size for blob in image.layers),
        "base": len(base.to_bytes()) + sum(blob.size for blob in base.layers),
    }
    assert (about["limits"]["cpu_ms"], about["upstreams"], about["versions"]) == (100, [], 1)
    json.dumps(about)


def test_an_image_that_is_gone_is_said(publisher: Publisher, store: Store) -> None:
    publisher.publish(ONE)
    publisher.change(names.withdraw, "shop")
    Path(store.manifest_path(ONE.image)).unlink()
    assert details(publisher.found("shop"))["sizes"] is None
    bin_of = publisher.keys.trust.bin_of
    sharing = next(name for number in itertools.count() if in_one_bin(bin_of, name := f"other{number}", "shop"))
    publisher.publish(publication(sharing))
    assert publisher.seen(sharing) is not None, "it stands in nobody's way who has a bin in common"


def in_one_bin(bin_of: Callable[[str], str], *services: str) -> bool:
    return len({bin_of(service_path(service)) for service in services}) == 1


def test_the_history_has_images_and_what_the_origin_noted(publisher: Publisher) -> None:
    publisher.publish(ONE)
    publisher.publish(TWO)
    publisher.rollback("shop")
    publisher.change(names.add_hosts, "shop", ["more.example"])
    publisher.change(names.withdraw, "shop")
    audit = carry_out(read_audit("shop"), url=publisher.url, token=TOKEN)
    versions = history(publisher.found("shop"), audit)
    assert [(each["version"], each["what"], each["now"]) for each in versions] == [
        (5, "withdraw", True),
        (4, "hosts", False),
        (3, "rollback", False),
        (2, "publish", False),
        (1, "publish", False),
    ]
    assert [each["image"] for each in versions] == [ONE.image] * 3 + [TWO.image, ONE.image]
    assert {json.dumps(each["who"]) for each in versions} == {'{"operator": true}'}
    assert all(each["at"].startswith("20") for each in versions)
    unnoted = history(publisher.found("shop"), b"")
    assert [each["what"] for each in unnoted] == ["withdraw", None, None, None, None]
    with pytest.raises(OriginError, match="lines of the audit log expected"):
        history(publisher.found("shop"), b"no line\n")


def test_names_that_are_close_are_suggested(publisher: Publisher) -> None:
    publisher.publish(publication("hello"), publication("other"))
    with pytest.raises(PublisherError, match=r"got 'helo' \(did you mean hello\?\): `nunatak services list` has"):
        publisher.found("helo")
    assert unknown("zzz", []) == "'zzz'"
