"""Several origins over one bucket: is every version there, whoever publishes at the same time and whoever dies?"""

import random
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from tuf.api.metadata import Metadata, TargetFile, Targets, Timestamp

from origin.model.exchange import TIMESTAMP_FILE
from origin.registry.ledger import Ledger, Lost
from origin.registry.names import Submitter
from origin.registry.renewals import VersionConflict
from origin.registry.roles import accept
from origin.registry.server import Origin
from origin.registry.store import Store
from origin.storage.blobs import Changed, Data
from origin.storage.memory import Memory
from tests.support.failing import Failing, Killed
from tests.support.racing import published, race, services
from tests.support.synthetic import NOW, TOKEN, Keys, publication, running_origin
from tests.support.turns import Taking, Turns
from vmimage.archive import ImageBundle
from vmimage.errors import OperatorError
from vmimage.trust import ServiceRecord, make_targets, sign_bin

OPERATOR = Submitter(operator=True)
PUBLISHERS, VERSIONS = 8, 3


class Noting(Memory):
    """A bucket that notes which versions of the timestamp it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.timestamps: list[int] = []

    def swap(self, key: str, old: str | None, data: bytes) -> str:
        tag = super().swap(key, old, data)
        if key == f"tuf/{TIMESTAMP_FILE}":
            self.timestamps.append(Metadata[Timestamp].from_bytes(data).signed.version)
        return tag


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("shared") / "keys")


@pytest.fixture
def bucket() -> Noting:
    return Noting()


def publishes(origin: Origin, roles: dict[str, bytes]) -> bool:
    """Whether it did, or was told that another was first."""
    try:
        origin.publish_roles(roles, OPERATOR)
    except VersionConflict:
        return False
    return True


def an_origin(bucket: Memory | Failing | Taking, keys: Keys) -> Origin:
    return Origin(Store(bucket), keys.metadata, keys.online, token=TOKEN)


def put(store: Store, *images: ImageBundle) -> None:
    for each in images:
        for digest, data in each.blobs.items():
            store.put_blob(digest, data)
        store.put_manifest(each.manifest.to_bytes())


def signed(store: Store, keys: Keys, service: str, content: bytes = b"") -> dict[str, bytes]:
    """The bins that say the next version of a service, whose image is put into the store."""
    wanted = publication(service, content=content)
    put(store, *wanted.images)
    state = published(store, keys)
    size = store.manifest_size(wanted.image)
    assert size is not None
    old = services(store, keys).get(service)
    record = ServiceRecord(service, (), wanted.image, size, old.version + 1 if old is not None else 1)
    changes: dict[str, dict[str, TargetFile | None]] = {}
    for path, target in make_targets(
        record, (*state.book().history(service), old.manifest_digest) if old is not None else ()
    ).items():
        changes.setdefault(keys.trust.bin_of(path), {})[path] = target
    roles = {}
    for role, change in changes.items():
        before = state.file(role)
        previous: Targets | None = keys.trust.verify_bin(role, before) if before else None
        roles[role] = sign_bin(previous, change, keys.publisher, NOW)
    return roles


def test_of_publishers_who_race_through_two_origins_none_loses_a_version(bucket: Noting, keys: Keys) -> None:
    with ExitStack() as stack:
        urls = [stack.enter_context(running_origin(Store(bucket), keys)) for _ in range(2)]
        seen = race(urls, keys, TOKEN, PUBLISHERS, VERSIONS)
    assert seen == {"published": PUBLISHERS * VERSIONS}
    store = Store(bucket)
    found = services(store, keys)
    assert {name: record.version for name, record in found.items()} == {
        f"service-{number}": VERSIONS for number in range(PUBLISHERS)
    }
    assert published(store, keys).snapshot.version == PUBLISHERS * VERSIONS + 1, "no version is skipped or made twice"
    assert bucket.timestamps == list(range(1, len(bucket.timestamps) + 1))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("end", [Killed(), OSError(5, "the store does not answer")], ids=["killed", "unanswered"])
def test_an_origin_that_ends_at_any_write_of_a_publish(
    bucket: Noting, keys: Keys, when: Literal["before", "after"], end: BaseException
) -> None:
    """The bucket is readable then, its change is there or not at all, and the other origin goes on from it."""
    an_origin(bucket, keys).publish_roles(signed(Store(bucket), keys, "first"), OPERATOR)
    roles = signed(Store(bucket), keys, "mine")
    seen: list[bool] = []
    for at in range(30):
        copied = bucket.copied()
        failing = Failing(copied, 1000, end, when)
        other, dying = an_origin(copied, keys), an_origin(failing, keys)
        failing.at = failing.writes + at
        try:
            dying.publish_roles(roles, OPERATOR)
        except type(end):
            pass
        store = Store(copied)
        services(store, keys)  # whole, whatever has become of it
        other.publish_roles(signed(store, keys, "another"), OPERATOR)
        found = services(store, keys)
        assert {"first", "another"} <= found.keys()
        seen.append("mine" in found)
        assert published(store, keys).snapshot.version == 3 + seen[-1]
        if not failing.failed:
            break
    else:
        pytest.fail("never got through")
    assert seen[-1]
    assert seen == sorted(seen), "from the change on it counts"
    assert len(seen) > 5


def test_an_origin_that_is_killed_at_any_write_while_it_founds_the_store(keys: Keys) -> None:
    for at in range(20):
        bucket = Memory()
        failing = Failing(bucket, at)
        try:
            an_origin(failing, keys)
        except Killed:
            pass
        other = an_origin(bucket, keys)
        other.publish_roles(signed(Store(bucket), keys, "first"), OPERATOR)
        assert services(Store(bucket), keys).keys() == {"first"}
        if not failing.failed:
            assert at > 4
            return
    pytest.fail("never got through")


def test_an_origin_that_is_killed_at_any_write_of_an_image(bucket: Noting, keys: Keys) -> None:
    """A manifest is there only with all that it names; whoever comes next can push it again."""
    wanted = publication("shop")
    for at in range(20):
        copied = bucket.copied()
        failing = Failing(copied, at)
        try:
            put(Store(failing), *wanted.images)
        except Killed:
            pass
        store = Store(copied)
        for each in wanted.images:
            if store.manifest_size(each.manifest.digest) is not None:
                assert all(store.blob_size(digest) == len(data) for digest, data in each.blobs.items())
        put(store, *wanted.images)
        if not failing.failed:
            return
    pytest.fail("never got through")


class Forgetful(Memory):
    """A bucket whose answer to one conditional write is lost, so that who asks again is told that it lost."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.forgets = -1

    def _is_lost(self) -> bool:
        self.writes += 1
        return self.writes - 1 == self.forgets

    def put_if_absent(self, key: str, data: Data, content_type: str = "") -> bool:
        return super().put_if_absent(key, data, content_type) and not self._is_lost()

    def swap(self, key: str, old: str | None, data: bytes) -> str:
        tag = super().swap(key, old, data)
        if self._is_lost():
            raise Changed
        return tag


def test_an_origin_that_is_told_that_it_lost_although_it_won_publishes_once(keys: Keys) -> None:
    for forgets in range(12):
        bucket = Forgetful()
        bucket.forgets = forgets
        origin = an_origin(bucket, keys)
        for number in range(2):
            origin.publish_roles(signed(Store(bucket), keys, "shop", b"%d" % number), OPERATOR)
        assert services(Store(bucket), keys)["shop"].version == 2
        assert published(Store(bucket), keys).snapshot.version == 3
        if bucket.writes <= forgets:
            assert forgets > 6
            return
    pytest.fail("never got through")


@pytest.mark.parametrize("of", ["different bins", "one bin"])
def test_in_whatever_order_two_origins_take_their_turns_both_publish_or_one_is_told(keys: Keys, of: str) -> None:
    """Some orders of their calls; over one bin the second one's publisher has to sign again."""
    bins = {name: keys.trust.bin_of(f"services/{name}") for name in (f"s{number}" for number in range(2000))}
    one = "s0"
    other = next(name for name in bins if name != one and (bins[name] == bins[one]) == (of == "one bin"))
    told = 0
    for seed in range(25):
        bucket, choose = Noting(), random.Random(seed)
        an_origin(bucket, keys)
        roles = {name: signed(Store(bucket), keys, name) for name in (one, other)}
        turns = Turns([choose.randrange(2) for _ in range(60)])
        stores = [Taking(bucket, None, actor) for actor in (0, 1)]
        origins = [an_origin(store, keys) for store in stores]
        for store in stores:
            store.turns = turns  # from now on
        said = turns.run(
            [partial(publishes, origin, roles[name]) for origin, name in zip(origins, (one, other), strict=True)]
        )
        found = services(Store(bucket), keys)
        assert {name for name, won in zip((one, other), said, strict=True) if won} == found.keys(), seed
        assert published(Store(bucket), keys).snapshot.version == 1 + sum(said)
        assert bucket.timestamps == list(range(1, len(bucket.timestamps) + 1)), seed
        told += said.count(False)
    assert (told > 0) == (of == "one bin")
    assert told <= 25


# One after the other.


def test_an_origin_takes_up_what_another_has_published_and_renewed(bucket: Noting, keys: Keys) -> None:
    now = [NOW]
    first, second = (
        Origin(Store(bucket), keys.metadata, keys.online, token=TOKEN, clock=lambda: now[0]) for _ in range(2)
    )
    first.publish_roles(signed(Store(bucket), keys, "shop"), OPERATOR)
    second.publish_roles(signed(Store(bucket), keys, "shop", b"2"), OPERATOR)
    first.publish_roles(signed(Store(bucket), keys, "shop", b"3"), OPERATOR)
    assert services(Store(bucket), keys)["shop"].version == 3
    before = len(bucket.timestamps)
    now[0] += keys.online.lifetime / 2
    for each in (first, second, first):
        each.renew_if_due()
    assert len(bucket.timestamps) == before + 1, "whoever is first does it for all"
    now[0] += timedelta(days=40)  # half of a snapshot's life is over
    for each in (second, first):
        each.renew_if_due()
    assert published(Store(bucket), keys).snapshot.version == 5
    assert bucket.timestamps == list(range(1, len(bucket.timestamps) + 1))


def test_a_timestamp_that_was_renewed_meanwhile_is_followed_by_a_newer_one(bucket: Noting, keys: Keys) -> None:
    """Its version would not be one more: edges would not look at what it names."""
    store = Store(bucket)
    ledger = Ledger(store, keys.metadata, lambda _: keys.online, lambda: NOW)
    other = Ledger(Store(bucket), keys.metadata, lambda _: keys.online, lambda: NOW)
    ledger.catch_up()
    roles = signed(store, keys, "shop")
    change = accept(ledger.state, roles, store.manifest_size, ledger.online, NOW, OPERATOR)
    other.renew()
    ledger.advance(*change)
    assert services(store, keys).keys() == {"shop"}
    assert bucket.timestamps == list(range(1, len(bucket.timestamps) + 1))


def test_who_was_asleep_while_others_published_much_changes_nothing(
    bucket: Noting, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the change that came in its place is long done and forgotten."""
    monkeypatch.setattr("origin.registry.ledger.VERSIONS_KEPT", 2)
    store = Store(bucket)
    sleeper = Ledger(store, keys.metadata, lambda _: keys.online, lambda: NOW)
    change = accept(sleeper.state, signed(store, keys, "late"), store.manifest_size, keys.online, NOW, OPERATOR)
    awake = an_origin(bucket, keys)
    for number in range(4):
        awake.publish_roles(signed(store, keys, "shop", b"%d" % number), OPERATOR)
    assert store.change(2) is None
    before = {each.key: bucket.get(each.key) for each in bucket.list("")}
    with pytest.raises(Lost):
        sleeper.advance(*change)
    assert {each.key: bucket.get(each.key) for each in bucket.list("")} == before


def test_a_change_that_nobody_with_these_keys_wrote_is_refused(bucket: Noting, keys: Keys, tmp_path: Path) -> None:
    origin = an_origin(bucket, keys)
    origin.publish_roles(signed(Store(bucket), keys, "shop"), OPERATOR)
    theirs = Noting()
    thieves = Keys(tmp_path / "keys")
    an_origin(theirs, thieves).publish_roles(signed(Store(theirs), thieves, "theft"), OPERATOR)
    for planted in (
        theirs.get("changes/2.json").replace(b"2.snapshot", b"3.snapshot"),
        b"{}",
        b"\0",
        b'{"files": [[]]}',
    ):
        bucket.put("changes/3.json", planted)
        with pytest.raises(OperatorError, match=r"changes/3\.json"):
            origin.publish_roles(signed(Store(bucket), keys, "other"), OPERATOR)
        assert services(Store(bucket), keys).keys() == {"shop"}
        assert bucket.head("tuf/3.snapshot.json") is None, "nothing of it was laid out"
    bucket.delete("changes/3.json")
    origin.publish_roles(signed(Store(bucket), keys, "other"), OPERATOR)
