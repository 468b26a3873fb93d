"""Loading an image: what the catalogue says of its snapshot saves a round trip, and is believed in nothing else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import pytest

from edge.common.counters import Counters
from edge.content.blobs import Load, Ref
from edge.content.image import Image
from edge.content.images import Images
from tests.support.guests import EXAMPLES, bake, baker
from vmimage.archive import ImageBundle
from vmimage.canonical import Blob
from vmimage.errors import OriginError

PATIENCE_S = 5.0


@cache
def bundle() -> ImageBundle:
    return bake(EXAMPLES / "hello.c")


def snapshot() -> Blob:
    return bundle().manifest.snapshot


class Contents:
    """A store of what was built; the manifest of `held` comes only after `first` was asked for."""

    def __init__(self, first: str = "", held: str = "") -> None:
        self.contents: dict[str, bytes] = {}
        for each in (baker().base, bundle()):
            self.contents |= {each.manifest.digest: each.manifest.to_bytes(), **each.blobs}
        self.asked: list[str] = []
        self._first, self._was_asked = first, asyncio.Event()
        self._held = held or bundle().manifest.digest

    async def get(self, ref: Ref, load: Load) -> bytes:
        self.asked.append(ref.digest)
        if ref.digest == self._first:
            self._was_asked.set()
        if ref.digest == self._held and self._first:
            await asyncio.wait_for(self._was_asked.wait(), PATIENCE_S)
        try:
            return ref.check(self.contents[ref.digest])
        except KeyError:
            raise OriginError(f"{ref.digest}: unknown") from None


def _load(store: Contents, expected: Blob | None) -> Image:
    async def load() -> Image:
        with ThreadPoolExecutor(1) as threads:
            images = Images(store, threads, 1 << 26, Counters())
            manifest = bundle().manifest
            image, load = await images.load(manifest.digest, len(manifest.to_bytes()), expected)
            assert load is not None
            assert load.fetch_s < PATIENCE_S
            images.close()
            return image

    return asyncio.run(load())


def test_manifest_and_snapshot_are_fetched_at_once() -> None:
    store = Contents(first=snapshot().digest)
    assert _load(store, snapshot()).blob == bundle().blobs[snapshot().digest]
    assert store.asked.count(snapshot().digest) == 1


def test_manifest_and_snapshot_of_the_base_are_fetched_at_once_too() -> None:
    base = baker().base.manifest
    store = Contents(first=base.snapshot.digest, held=base.digest)
    assert _load(store, snapshot()).base is not None
    assert store.asked.count(base.snapshot.digest) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: replace(snapshot(), size=snapshot().size + 1),
        lambda: replace(snapshot(), digest="sha256:" + "0" * 64),
        lambda: baker().base.manifest.snapshot,
    ],
    ids=["size", "nowhere", "another"],
)
def test_where_manifest_and_catalogue_disagree_the_manifest_decides(wrong: Callable[[], Blob]) -> None:
    assert _load(Contents(), wrong()).blob == bundle().blobs[snapshot().digest]


def test_a_snapshot_that_cannot_be_had_is_an_error_of_the_load() -> None:
    store = Contents(first=snapshot().digest)
    del store.contents[snapshot().digest]
    with pytest.raises(OriginError, match="unknown"):
        _load(store, snapshot())
