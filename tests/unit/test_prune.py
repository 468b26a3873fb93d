"""What an origin removes: all that nobody needs, and nothing that anybody may be about to name."""

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile, Targets

from origin.model.exchange import Response
from origin.model.publication import Publication
from origin.publish import names
from origin.publish.audit import prune as asking
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.registry.artifacts import parse_artifact
from origin.registry.names import Submitter
from origin.registry.prune import DAY_S, HOUR_S, Pruning, Rules, closure, kept_images, long_gone, named, parse_rules
from origin.registry.refusal import OciError
from origin.registry.server import Origin
from origin.registry.store import BlobMissing, Store
from origin.storage.place import Place
from tests.support.synthetic import BASE, NOW, TOKEN, Keys, publication, running_origin, send
from vmimage.archive import ImageBundle
from vmimage.disk import BLOCK_SIZE, pack_block, pack_list
from vmimage.errors import OperatorError, OriginError, PublisherError
from vmimage.manifest import digest_of
from vmimage.trust import ServiceRecord, make_targets

OPERATOR = Submitter(operator=True)
A, B, C, D = (f"sha256:{digits * 32}" for digits in ("aa", "bb", "cc", "dd"))
OLD, NEW, LAST = (publication("shop", content=content) for content in (b"1", b"2", b"3"))
LATER = NOW.timestamp() + 2 * DAY_S  # what is pushed by a test is older then than the grace time


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("prune") / "keys")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def put(store: Store, *images: ImageBundle) -> None:
    for each in images:
        for digest, data in each.blobs.items():
            store.put_blob(digest, data)
        store.put_manifest(each.manifest.to_bytes())


def age(store: Store, *, days: float = 2) -> None:
    """Let all that is here be older."""
    for content in store.contents("blobs", "manifests", "artifacts"):
        os.utime(content.path, (content.used_s - days * DAY_S,) * 2)


def here(store: Store) -> set[str]:
    """Manifests."""
    return {content.digest for content in store.contents("manifests", "artifacts")}


def remove(pruning: Pruning, kept: Iterable[str] = (), most: int = 1) -> list[str]:
    """Manifests, in the order in which they went."""
    pruning.look()
    pruning.keep(kept)
    return [digest for gone in iter(lambda: pruning.remove(most), []) for digest in gone]


def whole(store: Store) -> bool:
    """Whether every manifest has all that it names."""
    blobs = {content.digest for content in store.contents("blobs")}
    for content in store.contents("manifests"):
        spelled = named(content.path.read_bytes())
        if not {digest for digest in spelled if digest in ALL_BLOBS} <= blobs:
            return False
    return True


ALL_BLOBS = {digest for each in (*OLD.images, *NEW.images, *LAST.images) for digest in each.blobs}


# What the catalogue wants kept.


def bin_of(*entries: tuple[ServiceRecord, tuple[str, ...]]) -> Targets:
    targets: dict[str, TargetFile] = {}
    for record, history in entries:
        targets |= make_targets(record, history)
    return Targets(targets=targets)


def test_what_services_are_and_were_is_kept() -> None:
    since = (NOW - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    live = bin_of((ServiceRecord("live", ("a.test",), D, 10, 4), (A, B, C)))
    gone = bin_of((ServiceRecord("gone", (), B, 10, 2, withdrawn=since), (A,)))
    assert kept_images([live], Rules(), NOW) == {A, B, C, D}
    assert kept_images([live], Rules(keep=1), NOW) == {C, D}
    for days, kept, logs in ((30, {A, B}, []), (9, set(), ["gone"])):
        rules = Rules(withdrawn_s=days * DAY_S)
        assert kept_images([gone], rules, NOW) == kept
        assert long_gone([gone, live], rules, NOW) == logs
    odd = bin_of((ServiceRecord("odd", (), B, 10, 2, withdrawn="2026-19-39T29:59:59Z"), ()))
    assert kept_images([odd], Rules(), NOW) == {B}, "a time that is none"


def test_closure_follows_names_and_referrers() -> None:
    names_, referrers = {A: {B}, B: {C}, D: {A}}, {C: {"signature"}}
    assert closure({A}, names_, referrers) == {A, B, C, "signature"}
    assert closure({D}, names_, {}) == {A, B, C, D}


@pytest.mark.parametrize(
    "body",
    [
        *(b"[]", b"{", b'{"other": 1}', b'{"dry_run": 1}', b'{"keep": 0}', b'{"keep": 11}', b'{"keep": true}'),
        *(b'{"grace_s": 3599}', b'{"grace_s": 1e9}', b'{"withdrawn_s": 1}'),
    ],
)
def test_rules_that_would_take_too_much_are_refused(body: bytes) -> None:
    with pytest.raises(OciError, match="grace_s from 3600"):
        parse_rules(body)


def test_rules_have_defaults() -> None:
    assert parse_rules(b"") == Rules()
    assert parse_rules(b'{"grace_s": 3600, "dry_run": true}') == Rules(grace_s=HOUR_S, dry_run=True)


# A store.


def test_what_nobody_names_goes_and_the_rest_is_whole(store: Store) -> None:
    put(store, *OLD.images, *NEW.images)
    store.put_blob(digest_of(b"loose"), b"loose")
    before = {content.path: content.size for content in store.contents("blobs", "manifests")}
    for rules in (Rules(dry_run=True), Rules()):
        pruning = Pruning(store, rules, LATER)
        assert remove(pruning, [NEW.image]) == [OLD.image]
        pruning.blobs()
        if rules.dry_run:
            assert before.keys() == {content.path for content in store.contents("blobs", "manifests")}
            promised = pruning.result
        else:
            assert pruning.result == promised
    left = {content.path for content in store.contents("blobs", "manifests")}
    assert pruning.result.freed_bytes == sum(size for path, size in before.items() if path not in left)
    assert here(store) == {NEW.image, BASE.manifest.digest}
    assert whole(store)
    assert (pruning.result.kept_manifests, pruning.result.blobs) == (2, 2), "a snapshot and what was loose"


def test_what_was_pushed_or_asked_for_lately_stays_with_all_that_it_names(store: Store) -> None:
    put(store, *OLD.images, *NEW.images)
    age(store)
    assert store.use(store.manifest_path(OLD.image)) is not None  # HEAD of a publisher who will name it
    pruning = Pruning(store, Rules(), NOW.timestamp())
    remove(pruning)
    pruning.blobs()
    assert here(store) == {OLD.image, BASE.manifest.digest}
    assert whole(store)


def test_a_tag_keeps_and_an_artifact_goes_with_its_subject(store: Store) -> None:
    put(store, *OLD.images, *NEW.images)
    store.put_tag("stable", OLD.image)
    store.put_blob(digest_of(b"{}"), b"{}")
    signatures = []
    for subject in (OLD.image, NEW.image):
        config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/x.signature",
            "config": config,
            "layers": [],
            "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1},
        }
        data = json.dumps(manifest).encode()
        store.put_artifact(data, parse_artifact(data, digest_of(data)))
        signatures.append(digest_of(data))
    pruning = Pruning(store, Rules(), LATER)
    assert remove(pruning) == [signatures[1], NEW.image], "who names others goes first"
    pruning.blobs()
    assert here(store) == {OLD.image, BASE.manifest.digest, signatures[0]}
    assert (len(store.referrers(OLD.image)), store.referrers(NEW.image)) == (1, [])
    assert store.blob_size(digest_of(b"{}")) == 2


def test_nothing_goes_before_what_names_it(store: Store) -> None:
    """So that what is left is whole wherever it ends."""
    images = [image_ for number in range(5) for image_ in publication(f"s{number}").images]
    put(store, *images)
    names_ = {each.manifest.digest: named(each.manifest.to_bytes()) for each in images}
    gone = remove(Pruning(store, Rules(), LATER))
    assert len(gone) == len(names_) == 6
    assert not [digest for place, digest in enumerate(gone) for later in gone[place + 1 :] if digest in names_[later]]


def test_blocks_of_disks_go_and_stay_with_them(store: Store) -> None:
    packed = [pack_block(bytes([number]) * BLOCK_SIZE) for number in (1, 2, 3)]
    digests = []
    for name, refs in (("one", packed[:2]), ("two", packed[1:])):
        manifest, listing = pack_list(name, 2 * BLOCK_SIZE, [ref for ref, _ in refs])
        for content in (*(wire for _, wire in refs), listing):
            store.put_blob(digest_of(content), content)
        store.put_manifest(manifest.to_bytes())
        digests.append(manifest.digest)
    pruning = Pruning(store, Rules(), LATER)
    remove(pruning, [digests[0]])
    pruning.blobs()
    assert here(store) == {digests[0]}
    assert [store.blob_size(ref.digest) is not None for ref, _ in packed] == [True, True, False]


# What others do meanwhile.


def test_an_image_that_is_pushed_meanwhile_finds_its_base_or_is_refused(store: Store) -> None:
    """Between the two halves, and with blobs that are as old as those that go."""
    put(store, *OLD.images)
    derived = NEW.images[1]
    for digest, data in derived.blobs.items():
        store.put_blob(digest, data)
    pruning = Pruning(store, Rules(), LATER)
    age(store, days=9)
    remove(pruning, [OLD.image])
    os.utime(store.manifest_path(BASE.manifest.digest), (LATER, LATER))
    store.put_manifest(derived.manifest.to_bytes())  # marks what it names
    for digest in (derived.manifest.digest, *derived.blobs):
        path = store.manifest_path(digest) if digest == derived.manifest.digest else store.blob_path(digest)
        assert Path(path).stat().st_mtime > LATER - 9 * DAY_S
    pruning.blobs()
    assert here(store) == {OLD.image, NEW.image, BASE.manifest.digest}
    assert whole(store)
    everything = Pruning(store, Rules(), LATER + 9 * DAY_S)
    remove(everything)
    with pytest.raises(BlobMissing, match="base sha256:"):
        store.put_manifest(derived.manifest.to_bytes())


def test_what_is_asked_for_between_the_look_and_the_removal_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, *OLD.images)
    age(store)
    unused = store.remove_unused

    def asked_first(path: Place, before_s: float) -> bool:
        if path == store.manifest_path(OLD.image):
            store.use(path)
        return unused(path, before_s)

    monkeypatch.setattr(store, "remove_unused", asked_first)
    pruning = Pruning(store, Rules(), NOW.timestamp())
    remove(pruning)
    monkeypatch.setattr(store, "remove_unused", unused)
    pruning.blobs()
    assert here(store) == {OLD.image, BASE.manifest.digest}
    assert whole(store)


def test_use_is_noted_seldom_and_never_of_what_is_not_here(store: Store) -> None:
    assert store.use(store.blob_path(A)) is None
    store.put_blob(digest_of(b"x"), b"x")
    path = store.blob_path(digest_of(b"x"))
    os.utime(path, (NOW.timestamp() - DAY_S,) * 2)
    assert store.use(path) == 1
    noted = Path(path).stat().st_mtime_ns
    assert store.use(path) == 1
    assert Path(path).stat().st_mtime_ns == noted
    assert not store.remove_unused(path, NOW.timestamp() - HOUR_S)
    assert store.remove_unused(path, NOW.timestamp() + DAY_S)
    assert not store.remove_unused(path, NOW.timestamp() + DAY_S)


# An origin.


def publish_all(url: str, keys: Keys, *publications: Publication) -> None:
    carry_out(publish(publications, keys.trust, keys.publisher, NOW), url=url, token=TOKEN)


def test_an_origin_keeps_what_it_publishes(store: Store, keys: Keys) -> None:
    with running_origin(store, keys) as url:
        for each in (OLD, NEW, LAST):
            publish_all(url, keys, each)
        publish_all(url, keys, publication("gone"))
        carry_out(names.withdraw("gone", keys.trust, keys.publisher, NOW), url=url, token=TOKEN)
    origin = Origin(store, keys.metadata, keys.online, token=TOKEN, clock=lambda: NOW + timedelta(days=40))
    before = here(store)
    dry, _ = origin.prune(Rules(keep=1, dry_run=True), OPERATOR)
    assert here(store) == before
    pruned, services = origin.prune(Rules(keep=1), OPERATOR)
    assert before - here(store) == {OLD.image, publication("gone").image}
    assert (pruned, services) == (dry, ["gone"])
    assert whole(store)
    audit = [json.loads(line) for line in store.audit_path.read_text().splitlines()]
    assert [line["what"] for line in audit[-4:]] == ["prune", "pruned", "pruned", "pruned"]
    assert {line.get("manifest") for line in audit[-3:]} == {*(before - here(store)), None}
    assert origin.prune(Rules(keep=1), OPERATOR)[0].manifests == 0


def test_what_the_catalogue_wants_meanwhile_is_kept(store: Store) -> None:
    """A rollback to an old version comes in between two steps: its image is not among what goes after it."""
    put(store, *OLD.images, *NEW.images, *LAST.images)
    pruning = Pruning(store, Rules(), LATER)
    pruning.look()
    pruning.keep([LAST.image])
    [first] = pruning.remove(1)
    [other] = {OLD.image, NEW.image} - {first}
    pruning.keep([other])
    assert pruning.remove(1) == []
    pruning.blobs()
    assert here(store) == {other, LAST.image, BASE.manifest.digest}
    assert whole(store)


def test_a_prune_in_the_middle_of_a_publish(store: Store, keys: Keys) -> None:
    """After each of its requests, with an image that was here already, old and named by nobody: it goes through."""
    with running_origin(store, keys) as url:
        for after in itertools.count(1):
            wanted = publication(f"shop{after}")
            put(store, *wanted.images)
            age(store)
            requests = 0
            exchange = publish([wanted], keys.trust, keys.publisher, NOW)
            group = next(exchange)
            try:
                while True:
                    answers = []
                    for request in group:
                        answers.append(send(url, request))
                        requests += 1
                        if requests == after:
                            carry_out(asking({"grace_s": HOUR_S}), url=url, token=TOKEN)
                    group = exchange.send(answers)
            except StopIteration as stop:
                [record] = stop.value
            assert record.manifest_digest == wanted.image
            assert {wanted.image, BASE.manifest.digest} <= here(store)
            assert store.blob_size(wanted.images[1].manifest.snapshot.digest) is not None
            if after > requests:
                break
    assert after > 8


def test_who_may_prune(store: Store, keys: Keys) -> None:
    with running_origin(store, keys) as url:
        with pytest.raises(PublisherError, match="401"):
            carry_out(asking({}), url=url, token="another-token-altogether")
        with pytest.raises(PublisherError, match="400"):
            carry_out(asking({"keep": 0}), url=url, token=TOKEN)
        assert carry_out(asking({"dry_run": True}), url=url, token=TOKEN)["manifests"] == 0


def test_a_manifest_that_cannot_be_read_stops_it_before_anything_goes(store: Store) -> None:
    put(store, *OLD.images)
    manifest, listing = pack_list("one", BLOCK_SIZE, [pack_block(b"\1" * BLOCK_SIZE)[0]])
    store.put_blob(digest_of(pack_block(b"\1" * BLOCK_SIZE)[1]), pack_block(b"\1" * BLOCK_SIZE)[1])
    store.put_blob(digest_of(listing), listing)
    store.put_manifest(manifest.to_bytes())
    Path(store.blob_path(digest_of(listing))).write_bytes(b"damaged")
    pruning = Pruning(store, Rules(), LATER)
    remove(pruning, [OLD.image, manifest.digest])
    before = {content.path for content in store.contents("blobs")}
    with pytest.raises(OperatorError, match="cannot be read"):
        pruning.blobs()
    assert {content.path for content in store.contents("blobs")} == before


def test_an_answer_that_is_none() -> None:
    exchange = asking({})
    next(exchange)
    with pytest.raises(OriginError, match="what was pruned expected"):
        exchange.send([Response(200, b'{"manifests": []}')])
