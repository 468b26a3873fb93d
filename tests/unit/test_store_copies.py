"""Is a copy of a store whole, whenever it was taken and wherever it ended, and what do edges say to one that is old?"""

from pathlib import Path
from typing import Any

import pytest

from edge.catalogue.catalogue import Catalogue
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.registry.store import Store
from origin.registry.transparency import SnapshotLog
from origin.storage.blobs import BlobStore, size_max
from origin.storage.copying import LEFT_OUT, TIMESTAMP, copy
from origin.storage.files import Files
from origin.storage.memory import Memory
from tests.support.failing import Failing, Killed
from tests.support.racing import published, services
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin
from vmimage.errors import OperatorError, VerificationError


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("copies") / "keys")


def send(url: str, keys: Keys, service: str, content: bytes = b"") -> None:
    wanted = publication(service, f"{service}.example", content=content)
    carry_out(publish([wanted], keys.trust, keys.publisher, NOW), url=url, token=TOKEN)


@pytest.fixture
def bucket() -> Memory:
    return Memory()


def objects(store: BlobStore) -> dict[str, bytes]:
    return {each.key: store.get(each.key) for each in store.list("") if each.key.partition("/")[0] not in LEFT_OUT}


def test_a_store_is_copied_and_then_what_has_come_since(bucket: Memory, keys: Keys, tmp_path: Path) -> None:
    target = Files(tmp_path / "copy")
    with running_origin(Store(bucket), keys) as url:
        send(url, keys, "one")
        first = copy(bucket, target)
        assert first.there == 0
        assert objects(target) == objects(bucket)
        send(url, keys, "two")
        second = copy(bucket, target)
    assert 0 < second.objects < first.objects
    assert objects(bucket).items() <= objects(target).items(), "nothing is removed from a copy"
    assert services(Store(target), keys).keys() == {"one", "two"}


def test_what_somebody_has_put_into_a_bucket_and_is_too_large_hinders_no_copy(bucket: Memory, keys: Keys) -> None:
    target = Memory()
    with running_origin(Store(bucket), keys):
        bucket.put("feed/9.json", bytes(size_max("feed/9.json") + 1))
        copy(bucket, target)
        copy(bucket, target)
    assert target.head(TIMESTAMP) is not None


class Interrupting:
    """A store in which others publish at the n-th read."""

    def __init__(self, inner: BlobStore, at: int, then: Any) -> None:
        self._inner, self._left, self._then = inner, at, then

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._inner, name)
        if name not in ("get", "read", "list"):
            return real

        def counted(*args: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self._then()
            return real(*args)

        return counted


def test_a_copy_that_is_taken_while_an_origin_writes_is_whole(bucket: Memory, keys: Keys) -> None:
    """Whatever has come between any two reads of it."""
    with running_origin(Store(bucket), keys) as url:
        send(url, keys, "shop")
        for at in range(1, 60, 9):
            content = b"%d" % at
            before = services(Store(bucket), keys)["shop"].version
            target = Memory()
            copy(Interrupting(bucket, at, lambda content=content: send(url, keys, "shop", content)), target)
            with running_origin(Store(target), keys) as restored:
                assert services(Store(target), keys)["shop"].version in (before, before + 1)
                log = SnapshotLog(target, Store(target).read_metadata)
                log.follow(published(Store(target), keys), keys.online.snapshot)  # raises where it is not whole
                send(restored, keys, "other")


def test_a_copy_that_was_cut_off_names_nothing_that_is_not_there(bucket: Memory, keys: Keys) -> None:
    with running_origin(Store(bucket), keys) as url:
        send(url, keys, "shop")
    for at in range(40):
        target = Memory()
        failing = Failing(target, at)
        try:
            copy(bucket, failing)
        except Killed:
            assert target.head(TIMESTAMP) is None
        copy(bucket, target)
        assert objects(target) == objects(bucket)
        assert services(Store(target), keys).keys() == {"shop"}
        if not failing.failed:
            return
    pytest.fail("never got through")


def test_what_may_not_be_copied_where(bucket: Memory, keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="a store with a catalogue expected"):
        copy(bucket, Memory())
    with running_origin(Store(bucket), keys) as url:
        old = bucket.copied()
        send(url, keys, "shop")
    with pytest.raises(OperatorError, match="not ahead"):
        copy(old, bucket)
    theirs, others = Memory(), Keys(tmp_path / "keys")
    with running_origin(Store(theirs), others):
        pass
    with pytest.raises(OperatorError, match="another root"):
        copy(theirs, bucket)
    assert services(Store(bucket), keys).keys() == {"shop"}


def test_a_folder_is_copied_beside_the_origin_that_serves_it(keys: Keys, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with running_origin(store, keys) as url:
        send(url, keys, "shop")
        target = Memory()
        copy(Files(tmp_path / "store", reading=True), target)
    assert services(Store(target), keys).keys() == {"shop"}
    store.close()
    with pytest.raises(OperatorError, match="the folder of a store"):
        Files(tmp_path / "none", reading=True)


# After a restore.


def test_an_edge_goes_on_beside_a_store_that_is_older_and_says_so(bucket: Memory, keys: Keys, tmp_path: Path) -> None:
    """It serves what it knows, takes nothing back, and follows again when the store has come further than it was."""
    with running_origin(Store(bucket), keys) as url:
        send(url, keys, "shop", b"1")
        backup = Memory()
        copy(bucket, backup)
        for content in (b"2", b"3", b"4"):
            send(url, keys, "shop", content)
        edge = Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root)
        edge.refresh()
        known = edge.find_service("shop")
    assert known is not None
    assert known.version == 4
    with running_origin(Store(backup), keys) as url:
        after = Catalogue(tmp_path / "edge", f"{url}/tuf/", keys.root)
        with pytest.raises(VerificationError):
            after.refresh()
        assert after.find_service("shop") == known, "it goes on with what it has"
        for content in (b"5", b"6", b"7", b"8"):
            send(url, keys, "shop", content)
        after.refresh()
        found = after.find_service("shop")
        assert found == services(Store(backup), keys)["shop"]
    assert found is not None
    assert found.version == 5
