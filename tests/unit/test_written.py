"""Is a publisher asked before written pages come to lie on another base, and is what was decided what is signed?"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from origin.model.publication import Publication
from origin.publish.client import carry_out
from origin.publish.publish import publish, rollback
from origin.publish.written import Choice, decide, notes
from origin.registry.store import Store
from tests.support.synthetic import BASE, NOW, TOKEN, Keys, image, running_origin
from vmimage.archive import ImageBundle
from vmimage.disk import BLOCK_SIZE, BlockList, DiskManifest, pack_block, pack_list
from vmimage.drives import DriveKind, DriveRef
from vmimage.errors import PublisherError, VerificationError
from vmimage.trust import ServiceRecord, make_targets, parse_target

A, B, C = (f"sha256:{digits * 32}" for digits in ("aa", "bb", "cc"))
SHOP = ServiceRecord("shop", (), A, 1000, 4, written=(("data", 2),))


def drive(digest: str, *, name: str = "data", kind: DriveKind = "cow", size: int = 1000) -> DriveRef:
    return DriveRef(size, digest, kind, name)


@pytest.mark.parametrize(
    ("before", "old", "new", "choice", "expected"),
    [
        (None, None, [], None, ()),
        (None, None, [drive(A), drive(B, name="b", kind="shared")], None, (("data", 1),)),
        (SHOP, [drive(A)], [drive(A)], None, (("data", 2),)),
        (SHOP, [drive(A)], [drive(A)], "drop", (("data", 2),)),  # nothing to decide: a script may always say it
        (SHOP, [drive(A)], [drive(B)], "keep", (("data", 2),)),
        (SHOP, [drive(A)], [drive(B, size=2000)], "keep", (("data", 2),)),
        (SHOP, [drive(A)], [drive(B)], "drop", (("data", 5),)),
        (SHOP, [drive(A)], [], "drop", ()),
        (SHOP, [drive(A)], [drive(A, kind="shared")], "drop", ()),
        (SHOP, [drive(A)], [drive(A), drive(C, name="more")], None, (("data", 2), ("more", 5))),
        (SHOP, None, [drive(B)], "drop", (("data", 5),)),
        (replace(SHOP, written=()), [drive(A)], [drive(A)], None, (("data", 0),)),  # published by an earlier tool
        (replace(SHOP, written=()), [drive(A)], [drive(B)], "keep", (("data", 0),)),
    ],
)
def test_what_becomes_of_a_written_disk_is_decided_by_old_and_new_drives(
    before: ServiceRecord | None,
    old: list[DriveRef] | None,
    new: list[DriveRef],
    choice: Choice | None,
    expected: tuple[tuple[str, int], ...],
) -> None:
    assert decide(before, old, new, choice, "shop") == expected


@pytest.mark.parametrize(
    ("old", "new", "choice", "why"),
    [
        ([drive(A)], [drive(B)], None, "disk data of shop has another base since version 4"),
        ([drive(A)], [], None, "no longer a copy-on-write disk"),
        ([drive(A)], [drive(A, kind="shared")], None, "no longer a copy-on-write disk"),
        (None, [drive(B)], None, "has another base"),
        ([drive(A)], [], "keep", "an image with a cow disk data expected"),
        ([drive(A)], [drive(B, size=999)], "keep", "at least 1000 bytes expected for shop, got 999"),
        (None, [drive(B)], "keep", "a known size before expected"),
    ],
)
def test_keeping_what_cannot_be_kept_is_refused(
    old: list[DriveRef] | None, new: list[DriveRef], choice: Choice | None, why: str
) -> None:
    with pytest.raises(PublisherError, match=why):
        decide(SHOP, old, new, choice, "shop")


def test_what_a_publisher_is_told() -> None:
    assert notes(replace(SHOP, written=())) == []
    assert ["each edge keeps its own copy" in note and "left behind" not in note for note in notes(SHOP)] == [True]
    assert ["left behind" in note for note in notes(replace(SHOP, version=2))] == [True]
    assert ["left behind" in note for note in notes(replace(SHOP, version=1, written=(("data", 1),)))] == [False]


@pytest.mark.parametrize("value", [{}, [], {"data": 5}, {"data": -1}, {"data": True}, {"no/disk": 1}, {"data": "1"}, 7])
def test_what_a_record_cannot_say(value: object) -> None:
    path = "services/shop"
    target = make_targets(SHOP, ())[path]
    assert parse_target(path, target) == SHOP
    target.unrecognized_fields["custom"]["written"] = value
    with pytest.raises(VerificationError, match="a version up to 4"):
        parse_target(path, target)


# Through an origin.


class Disk:
    """A disk of one block."""

    def __init__(self, fill: int, blocks: int = 1) -> None:
        ref, self._wire = pack_block(bytes([fill]) * BLOCK_SIZE)
        self.manifest: DiskManifest
        self.manifest, self._listing = pack_list("data", BLOCK_SIZE * blocks, [ref] * blocks)
        self.blocks = BlockList(self._listing, blocks)

    def blob(self, digest: str) -> bytes:
        return self._listing if digest == self.manifest.block_list.digest else self._wire


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("written") / "keys")


@pytest.fixture
def url(keys: Keys, tmp_path: Path) -> Iterator[str]:
    store = Store(tmp_path / "store")
    with running_origin(store, keys) as url:
        yield url
    store.close()


ONE, TWO, LONG = Disk(1), Disk(2), Disk(3, 2)


def wanted(disk: Disk, content: bytes = b"") -> Publication:
    plain = image("guest", base=BASE.manifest, content=b"shop " + content)
    ref = DriveRef(disk.manifest.disk_bytes, disk.manifest.digest, "cow", "data")
    derived = ImageBundle(replace(plain.manifest, disks=(ref,)), plain.blobs)
    return Publication((BASE, derived), derived.manifest.digest, "shop", (), (disk,))


def test_a_new_base_is_published_with_a_word_on_what_was_written(url: str, keys: Keys) -> None:
    def send(disk: Disk, written: Choice | None = None, content: bytes = b"") -> ServiceRecord:
        start = publish([wanted(disk, content)], keys.trust, keys.publisher, NOW, written)
        [record] = carry_out(start, url=url, token=TOKEN)
        return record

    def roll(to: int, written: Choice | None = None) -> ServiceRecord:
        [record] = carry_out(rollback("shop", to, keys.trust, keys.publisher, NOW, written), url=url, token=TOKEN)
        return record

    assert send(ONE).written == (("data", 1),)
    assert send(ONE, content=b"other program").written == (("data", 1),)
    with pytest.raises(PublisherError, match="--written keep or --written drop"):
        send(TWO)
    assert send(ONE, content=b"other program").version == 2, "nothing was published"
    kept = send(TWO, "keep")
    assert (kept.version, kept.written) == (3, (("data", 1),))
    assert send(TWO, "keep") == kept
    with pytest.raises(PublisherError, match="got neither"):
        roll(1)
    assert roll(1, "keep").written == (("data", 1),)
    dropped = send(LONG, "drop")
    assert (dropped.version, dropped.written) == (5, (("data", 5),))
    with pytest.raises(PublisherError, match="at least 131072 bytes"):
        send(ONE, "keep")
    assert roll(1, "drop").written == (("data", 6),)
