"""Whoever stops in the middle of a publish, and wherever: is the old version served, and can it be done again?"""

import http.client
import itertools
import json
import shutil
import threading
import time
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile, Targets

from edge.catalogue.catalogue import Catalogue
from origin.model.exchange import TIMESTAMP_FILE, Request, Response
from origin.model.publication import Publication
from origin.publish.client import carry_out
from origin.publish.entries import Exchange
from origin.publish.publish import publish, rollback
from origin.registry.roles import VERSIONS_KEPT, accept, first_roles, outdated, renew
from origin.registry.server import Origin
from origin.registry.store import Store
from tests.support.failing import Failing, Killed
from tests.support.synthetic import BASE, NOW, TOKEN, Keys, publication, running_origin
from vmimage.errors import OperatorError, OriginUnreachable, PublisherError, VerificationError
from vmimage.manifest import digest_of
from vmimage.trust import SNAPSHOT_LIFETIME, ServiceRecord, make_targets, service_path, sign_bin

ONE = publication("hello", "hello.example")
TWO = publication("hello", "hello.example", content=b"new")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("publish") / "keys")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def url(store: Store, keys: Keys) -> Iterator[str]:
    with running_origin(store, keys) as url:
        yield url


class Stopped(Exception):
    """As many requests as allowed were sent."""


class Walker:
    """Sends an exchange's requests one by one, and stops after `allowed`."""

    def __init__(self, url: str, allowed: int | None = None) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        self._allowed = allowed
        self.sent: list[Request] = []

    def walk(self, exchange: Exchange) -> list[ServiceRecord]:
        try:
            group = next(exchange)
            while True:
                group = exchange.send([self._send(request) for request in group])
        except StopIteration as stop:
            return list(stop.value)
        finally:
            self._connection.close()

    def _send(self, request: Request) -> Response:
        if self._allowed is not None and len(self.sent) == self._allowed:
            raise Stopped
        self.sent.append(request)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": request.content_type}
        self._connection.request(request.method, request.path, request.body, headers)
        answer = self._connection.getresponse()
        return Response(answer.status, answer.read())


def _publish(keys: Keys, *publications: Publication) -> Exchange:
    return publish(publications, keys.trust, keys.publisher, NOW)


def _send(url: str, keys: Keys, *publications: Publication) -> list[ServiceRecord]:
    return carry_out(_publish(keys, *publications), url=url, token=TOKEN)


def _served(url: str, keys: Keys, folder: Path, service: str = "hello") -> ServiceRecord | None:
    """What an edge that has never been here before believes."""
    catalogue = Catalogue(folder, f"{url}/tuf/", keys.root)
    catalogue.refresh()
    return catalogue.find_service(service)


def test_a_publisher_killed_after_any_request(url: str, keys: Keys, tmp_path: Path) -> None:
    _send(url, keys, ONE)
    folders = (tmp_path / f"edge{number}" for number in itertools.count())
    for allowed in itertools.count():
        walker = Walker(url, allowed)
        try:
            walker.walk(_publish(keys, TWO))
        except Stopped:
            old = _served(url, keys, next(folders))
            assert old is not None
            assert (old.version, old.manifest_digest) == (1, ONE.image)
            continue
        break
    assert allowed >= 6
    assert [request.path for request in walker.sent][-1] == "/tuf/roles"
    new = _served(url, keys, next(folders))
    assert new is not None
    assert (new.version, new.manifest_digest) == (2, TWO.image)


def test_the_order_is_blobs_bases_manifests_roles(url: str, keys: Keys) -> None:
    walker = Walker(url)
    walker.walk(_publish(keys, ONE))
    changes = [request.path for request in walker.sent if request.method in ("POST", "PUT")]
    manifests = [f"/v2/images/manifests/{digest}" for digest in (BASE.manifest.digest, ONE.image)]
    assert changes[-3:] == [*manifests, "/tuf/roles"]
    assert all(path.startswith("/v2/images/blobs/uploads/?digest=") for path in changes[:-3])


def test_an_origin_killed_between_any_two_files(store: Store, keys: Keys, tmp_path: Path) -> None:
    with running_origin(store, keys) as url:
        _send(url, keys, ONE, publication("other"))
        # Everything of the new version but the catalogue.
        walker = Walker(url)
        exchange = publish([TWO, publication("other", content=b"new")], keys.trust, keys.publisher, NOW)
        with pytest.raises(Stopped):
            walker.walk(_until_roles(exchange))
    store.close()
    for written in range(10):
        folder = tmp_path / f"store{written}"
        shutil.copytree(tmp_path / "store", folder)
        opened = Store(folder)
        bins = _signed(opened, keys)
        died = _dies_after(opened, Origin(opened, keys.metadata, keys.online, token=TOKEN), bins, written)
        with running_origin(opened, keys) as url:
            served = _served(url, keys, tmp_path / f"edge{written}")
        opened.close()
        assert served is not None
        # The first write is the change, whole; from then on whoever comes next finishes it.
        before, after = (1, ONE.image), (2, TWO.image)
        assert (served.version, served.manifest_digest) == (before if written == 0 else after)
        if not died:
            assert written == len(bins) + 4  # the change, bins, snapshot, timestamp, the change that is done
            return
    pytest.fail("never got through")


def _until_roles(exchange: Exchange) -> Exchange:
    group = next(exchange)
    while not any(request.path == "/tuf/roles" for request in group):
        group = exchange.send((yield group))
    raise Stopped


def _signed(store: Store, keys: Keys) -> dict[str, bytes]:
    """The bins that point both services at their new images."""
    changes: dict[str, dict[str, TargetFile | None]] = {}
    first = {"hello": ONE.image, "other": publication("other").image}
    for service, digest in (("hello", TWO.image), ("other", publication("other", content=b"new").image)):
        size = store.manifest_size(digest)
        assert size is not None
        record = ServiceRecord(service, ("hello.example",) if service == "hello" else (), digest, size, 2)
        for path, target in make_targets(record, (first[service],)).items():
            changes.setdefault(keys.trust.bin_of(path), {})[path] = target
    signed = {}
    for role, change in changes.items():
        before = store.read_metadata(f"1.{role}.json")
        previous: Targets | None = keys.trust.verify_bin(role, before) if before else None
        signed[role] = sign_bin(previous, change, keys.publisher, NOW)
    return signed


def _dies_after(store: Store, origin: Origin, bins: dict[str, bytes], written: int) -> bool:
    whole = store.blobs
    store.blobs = Failing(whole, written)
    try:
        origin.publish_roles(bins)
    except Killed:
        return True
    finally:
        store.blobs = whole
    return False


def test_a_full_disk_leaves_the_origin_able_to_go_on(store: Store, keys: Keys, tmp_path: Path) -> None:
    with running_origin(store, keys) as url:
        _send(url, keys, ONE, publication("other"))
        with pytest.raises(Stopped):
            Walker(url).walk(_until_roles(_publish(keys, TWO, publication("other", content=b"new"))))
    origin = Origin(store, keys.metadata, keys.online, token=TOKEN)
    bins, whole = _signed(store, keys), store.blobs
    for written in range(len(bins) + 3):
        store.blobs = Failing(whole, written, OSError(28, "No space left on device"))
        with pytest.raises(OSError, match="No space"):
            origin.publish_roles(bins)
    store.blobs = whole
    assert list(whole.list("changes")) == [], "what there was no room for is taken back"
    origin.publish_roles(bins)
    with running_origin(store, keys) as url:
        new = _served(url, keys, tmp_path / "edge")
    assert new is not None
    assert new.version == 2


def test_publishing_the_same_again_changes_nothing(url: str, keys: Keys, store: Store) -> None:
    [first] = _send(url, keys, ONE)
    before = store.read_metadata(TIMESTAMP_FILE)
    assert _send(url, keys, ONE) == [first]
    assert store.read_metadata(TIMESTAMP_FILE) == before


def test_hosts_come_and_go(url: str, keys: Keys, tmp_path: Path) -> None:
    _send(url, keys, publication("hello", "a.example", "b.example"))
    catalogue = Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root)
    assert catalogue.refresh()
    assert catalogue.find_host("A.example") == catalogue.find_service("hello")
    _send(url, keys, publication("hello", "b.example", "c.example"))
    assert catalogue.refresh()
    assert catalogue.find_host("a.example") is None
    assert catalogue.find_host("c.example") == catalogue.find_host("b.example") == catalogue.find_service("hello")


def test_a_publish_that_names_no_host_keeps_those_there_are(url: str, keys: Keys) -> None:
    _send(url, keys, ONE)
    [record] = _send(url, keys, replace(TWO, hosts=()))
    assert record.hosts == ONE.hosts
    assert record.version == 2


def test_a_host_has_one_service(url: str, keys: Keys) -> None:
    _send(url, keys, publication("a", "x.example"), publication("b", "y.example"))
    with pytest.raises(PublisherError, match="service a has"):
        _send(url, keys, publication("c", "x.example"))
    with pytest.raises(PublisherError, match="one service expected"):
        _send(url, keys, publication("a", "x.example"), publication("c", "x.example"))
    with pytest.raises(PublisherError, match="each service once"):
        _send(url, keys, publication("a"), publication("a"))
    swapped = _send(url, keys, publication("a", "y.example"), publication("b", "x.example"))
    assert [(record.service, record.hosts) for record in swapped] == [("a", ("y.example",)), ("b", ("x.example",))]


def test_a_batch_is_one_new_version_of_the_catalogue(url: str, keys: Keys, store: Store, tmp_path: Path) -> None:
    records = _send(url, keys, *(publication(f"s{i}", f"s{i}.example") for i in range(50)))
    assert [record.version for record in records] == [1] * 50
    assert store.read_metadata("2.snapshot.json") is not None
    assert store.read_metadata("3.snapshot.json") is None
    catalogue = Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root)
    catalogue.refresh()
    assert [catalogue.find_host(f"s{i}.example") for i in range(50)] == records


def _roll(url: str, keys: Keys, service: str, to: int | None = None) -> ServiceRecord:
    [record] = carry_out(rollback(service, to, keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
    return record


def test_rollback_is_a_new_version_of_an_old_image(url: str, keys: Keys) -> None:
    images = [publication("hello", content=b"%d" % i) for i in range(3)]
    for version in images:
        _send(url, keys, version)
    assert _roll(url, keys, "hello") == replace(_roll(url, keys, "hello", to=2), version=4)
    back = _roll(url, keys, "hello", to=1)
    assert (back.version, back.manifest_digest) == (5, images[0].image)


def test_rollback_to_where_nothing_is(url: str, keys: Keys) -> None:
    _send(url, keys, ONE)
    with pytest.raises(PublisherError, match="a published service expected"):
        _roll(url, keys, "nobody")
    for to in (None, 1, 2):
        with pytest.raises(PublisherError, match="an earlier version of hello expected, got its first"):
            _roll(url, keys, "hello", to)
    for number in range(12):
        _send(url, keys, publication("hello", content=b"%d" % number))
    with pytest.raises(PublisherError, match=r"got 2: name one that is kept \(3 to 12\)"):
        _roll(url, keys, "hello", 2)


def test_two_publishers_at_once_both_get_in(url: str, keys: Keys, tmp_path: Path) -> None:
    mine, other = _publish(keys, ONE), publication("other", "other.example")
    walker = Walker(url)

    def interrupted() -> Exchange:
        group = next(mine)
        first = True
        while True:
            if first and any(request.path == "/tuf/roles" for request in group):
                first = False
                # The same bins, from elsewhere: the bin of hello.example among them.
                _send(url, keys, publication("hello", "hello.example", content=b"theirs"), other)
            try:
                group = mine.send((yield group))
            except StopIteration as stop:
                return list(stop.value)

    [record] = walker.walk(interrupted())
    assert (record.version, record.manifest_digest) == (2, ONE.image)
    assert [request.path for request in walker.sent].count("/tuf/roles") == 2
    assert _served(url, keys, tmp_path / "edge", "other") is not None


def test_a_wrong_token_is_refused(url: str, keys: Keys, store: Store) -> None:
    before = store.read_metadata(TIMESTAMP_FILE)
    with pytest.raises(PublisherError, match="token expected"):
        carry_out(_publish(keys, ONE), url=url, token="another-token-altogether")
    assert store.read_metadata(TIMESTAMP_FILE) == before
    assert store.manifest_size(ONE.image) is None


def test_an_origin_without_token_takes_nothing(store: Store, keys: Keys) -> None:
    with running_origin(store, keys, token=None) as url, pytest.raises(PublisherError, match="takes no uploads"):
        _send(url, keys, ONE)


def test_an_origin_that_is_not_there(keys: Keys) -> None:
    with pytest.raises(OriginUnreachable, match="an origin expected at"):
        _send("http://127.0.0.1:1", keys, ONE)
    with pytest.raises(PublisherError, match="http://"):
        _send("127.0.0.1:1", keys, ONE)


def test_a_store_of_other_keys_is_refused(store: Store, keys: Keys, tmp_path: Path) -> None:
    Origin(store, keys.metadata, keys.online, token=None)
    other = Keys(tmp_path / "other")
    with pytest.raises(OperatorError, match="belongs to these keys"):
        Origin(store, other.metadata, other.online, token=None)


# What the origin accepts, without I/O.


def test_roles_are_published_all_or_none(keys: Keys) -> None:
    _, state = first_roles(keys.trust, keys.metadata["1.targets.json"], keys.online, NOW)
    record = ServiceRecord("hello", (), "sha256:" + "ab" * 32, 1000, 1)
    path = service_path("hello")
    role = keys.trust.bin_of(path)
    good = sign_bin(None, make_targets(record, ()), keys.publisher, NOW)
    files, new = accept(state, {role: good}, {record.manifest_digest: 1000}.get, keys.online, NOW)
    assert [name for name, _ in files] == [f"1.{role}.json", "2.snapshot.json", "timestamp.json"]
    for bad, sizes, why in (
        ({}, {}, "at least one"),
        ({role: good}, {}, "at the origin, got None"),
        ({role: good}, {record.manifest_digest: 999}, "at the origin, got 999"),
        ({role: good, "bin-zz": good}, {record.manifest_digest: 1000}, "delegated bin"),
        ({role: good + b" " * (5 << 20)}, {}, "at most"),
    ):
        with pytest.raises(VerificationError, match=why):
            accept(state, bad, sizes.get, keys.online, NOW)
    with pytest.raises(VerificationError, match="version 2 expected, got 1"):
        accept(new, {role: good}, {record.manifest_digest: 1000}.get, keys.online, NOW)
    late = NOW + timedelta(days=400)
    with pytest.raises(VerificationError, match="good until"):
        accept(state, {role: good}, {record.manifest_digest: 1000}.get, keys.online, late)


def test_renewal_signs_a_snapshot_only_when_it_is_old(keys: Keys) -> None:
    _, state = first_roles(keys.trust, keys.metadata["1.targets.json"], keys.online, NOW)
    files, soon = renew(state, keys.online, NOW + timedelta(minutes=10))
    assert [name for name, _ in files] == ["timestamp.json"]
    assert (soon.timestamp.version, soon.snapshot) == (2, state.snapshot)
    assert soon.timestamp.expires - state.timestamp.expires == timedelta(minutes=10)
    files, later = renew(soon, keys.online, NOW + SNAPSHOT_LIFETIME * 0.6)
    assert [name for name, _ in files] == ["2.snapshot.json", "timestamp.json"]
    assert later.snapshot.meta == state.snapshot.meta
    assert later.snapshot.expires > state.snapshot.expires


def test_a_running_origin_renews_its_timestamp(store: Store, keys: Keys, tmp_path: Path) -> None:
    short = copy(keys)
    short.online = replace(keys.online, lifetime=timedelta(seconds=3))  # renewed twice a second
    with running_origin(store, short) as url:
        catalogue = Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root)
        catalogue.refresh()
        first = store.read_metadata(TIMESTAMP_FILE)
        deadline = time.monotonic() + 30
        while store.read_metadata(TIMESTAMP_FILE) == first and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        assert store.read_metadata(TIMESTAMP_FILE) != first
        assert not catalogue.refresh()  # later, and nothing else


def test_old_versions_go_in_time(keys: Keys) -> None:
    files = [(f"{VERSIONS_KEPT + 3}.bin-00.json", b""), ("5.snapshot.json", b""), ("timestamp.json", b"")]
    assert outdated(files) == ["3.bin-00.json"]


def test_the_submitted_body_is_what_is_served(url: str, keys: Keys, store: Store) -> None:
    walker = Walker(url)
    walker.walk(_publish(keys, ONE))
    submitted = json.loads(walker.sent[-1].body)
    for role, text in submitted.items():
        served = store.read_metadata(f"1.{role}.json")
        assert served is not None
        assert digest_of(served) == digest_of(text.encode())
