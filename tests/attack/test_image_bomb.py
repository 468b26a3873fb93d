"""Images that are small on the wire and large in memory: refused by their manifests, prepared one slice at a time."""

import asyncio
import os
import tracemalloc
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from edge.common.counters import Counters
from edge.content.blobs import Load, Ref
from edge.content.image import Image, held_bytes, machine_bytes, prepare, preparing_bytes
from edge.content.images import PREPARING_MIN, Images
from tests.support.guests import EXAMPLES, bake, baker
from vmimage import abi, snapshot
from vmimage.archive import ImageBundle
from vmimage.errors import FormatError, ImageTooLarge, VerificationError
from vmimage.manifest import SNAPSHOT_TYPE, Blob, ImageManifest, Region, digest_of
from vmimage.pages import pages_digest

MIB = 1 << 20
BOMB_MIB = 96
START = 0x400000


@cache
def honest() -> ImageBundle:
    return bake(EXAMPLES / "hello.c")


@cache
def bomb(mib: int = BOMB_MIB, word: int = 0x41) -> ImageBundle:
    """A derived image whose pages are all there, and all the same, so that they are few bytes on the wire."""
    state = snapshot.decode(
        honest().blobs[honest().manifest.snapshot.digest], memory_bytes=honest().manifest.memory_bytes
    )
    numbers = np.arange(START // abi.PAGE_SIZE, (START + mib * MIB) // abi.PAGE_SIZE, dtype=np.uint32)
    pages = np.full((len(numbers), 512), word, dtype=np.uint64)  # the base has none of them, so contents are the same
    record = snapshot.encode(replace(state, page_nos=numbers, pages=pages), level=9)
    memory = START + mib * MIB
    manifest = replace(
        honest().manifest,
        name=f"bomb-{mib}-{word}",
        memory_bytes=memory,
        regions=(Region(START, memory, "rw"),),
        page_count=len(numbers),
        snapshot_bytes=snapshot.record_size(len(numbers)),
        pages_digest=pages_digest(numbers, pages),
        snapshot=Blob(SNAPSHOT_TYPE, digest_of(record), len(record)),
        symbols=None,
    )
    return ImageBundle(manifest, {manifest.snapshot.digest: record})


class Origin:
    """A store of bundles, which says what was asked and waits, if told so, before it hands out blobs."""

    def __init__(self, *bundles: ImageBundle) -> None:
        self.contents: dict[str, bytes] = {}
        for each in (baker().base, *bundles):
            self.contents |= {each.manifest.digest: each.manifest.to_bytes(), **each.blobs}
        self.blobs: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def get(self, ref: Ref, load: Load) -> bytes:
        if ref.kind == "blobs":
            self.blobs.append(ref.digest)
            await self.open.wait()
        return ref.check(self.contents[ref.digest])


def run(test: Callable[[ThreadPoolExecutor], Coroutine[Any, Any, None]]) -> None:
    with ThreadPoolExecutor(2) as threads:
        asyncio.run(test(threads))


@pytest.mark.parametrize("hint", [False, True], ids=["", "the catalogue names its blob"])
def test_an_image_that_cannot_fit_is_refused_before_its_blob_is_fetched(hint: bool) -> None:
    async def test(threads: ThreadPoolExecutor) -> None:
        large = bomb().manifest
        large = replace(large, snapshot=replace(large.snapshot, size=9 * MIB))  # more than may be fetched ahead
        origin, counters = Origin(honest()), Counters()
        origin.contents[large.digest] = large.to_bytes()
        images = Images(origin, threads, 32 * MIB, counters, machine_bytes=64 * MIB)
        before = set(images.held)
        with pytest.raises(ImageTooLarge, match=rf"needs {preparing_bytes(large)} bytes for .*, this edge has 32MiB: "):
            await images.load(large.digest, expected=large.snapshot if hint else None)
        assert origin.blobs == []
        assert (set(images.held), images.under_way_bytes) == (before, 0)
        assert counters.images_too_large == 1
        with pytest.raises(ImageTooLarge):
            await images.load(large.digest)  # remembered, and not counted again
        assert counters.images_too_large == 1
        image, _ = await images.load(honest().manifest.digest, expected=honest().manifest.snapshot)
        assert image.manifest == honest().manifest, "others are served as before"
        assert images.under_way_bytes == 0, "also what was fetched ahead is given back"
        images.close()

    run(test)


@pytest.mark.parametrize(
    ("budget", "machines", "what"),
    [(256 * MIB, 64 * MIB, "machines"), (64 * MIB, 1 << 40, "preparing images"), (256 * MIB, 1 << 40, None)],
)
def test_each_budget_counts(budget: int, machines: int, what: str | None) -> None:
    async def test(threads: ThreadPoolExecutor) -> None:
        origin = Origin(bomb())
        images = Images(origin, threads, budget, Counters(), machine_bytes=machines)
        if what is None:
            image, _ = await images.load(bomb().manifest.digest)
            assert image.manifest.page_count == BOMB_MIB * 256
        else:
            with pytest.raises(ImageTooLarge, match=f"bytes for {what}, this edge has 64MiB: "):
                await images.load(bomb().manifest.digest)
        images.close()

    run(test)


def test_what_an_image_costs_is_said_by_its_manifest() -> None:
    derived, base = bomb().manifest, baker().base.manifest
    pages = BOMB_MIB * MIB
    assert held_bytes(derived) == derived.snapshot.size
    assert machine_bytes(derived) == pages + derived.snapshot_bytes
    assert preparing_bytes(derived) == 2 * derived.snapshot.size + derived.snapshot_bytes + MIB
    assert held_bytes(base) == base.page_count * abi.PAGE_SIZE
    assert machine_bytes(base) == 0
    assert preparing_bytes(base) > held_bytes(base) + base.snapshot_bytes
    incompressible = replace(derived, snapshot=replace(derived.snapshot, size=pages))
    assert held_bytes(incompressible) == 2 * pages


def test_loads_at_once_share_what_may_be_prepared_and_tenants_take_turns() -> None:
    async def test(threads: ThreadPoolExecutor) -> None:
        bombs = [bomb(8, word) for word in range(1, 9)]
        victim = honest().manifest
        origin, counters = Origin(honest(), *bombs), Counters()
        most = 2 * preparing_bytes(bombs[0].manifest) + 1000
        assert most > PREPARING_MIN
        images = Images(origin, threads, most, counters)
        await images.load(baker().base.manifest.digest)
        origin.blobs.clear()
        origin.open.clear()
        loads = [asyncio.create_task(images.load(each.manifest.digest, party="mallory")) for each in bombs]
        await _settle()
        assert len(origin.blobs) == 2, "two fit, six wait, and nothing of theirs is here"
        assert images.under_way_bytes <= most
        mine = asyncio.create_task(images.load(victim.digest, party="alice"))
        await _settle()
        origin.open.set()
        await asyncio.gather(*loads, mine)
        order = origin.blobs.index(victim.snapshot.digest)
        assert order <= 4, "of the first turns after the two that were under way, one is hers"
        assert images.under_way_bytes == 0
        images.close()

    run(test)


async def _settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def _prepared(bundle: ImageBundle, base: Image | None) -> Image:
    return prepare(1, bundle.manifest, bundle.blobs[bundle.manifest.snapshot.digest], base)


def test_preparing_holds_no_more_than_a_slice() -> None:
    base, image = _prepared(baker().base, None), bomb()
    allocated = os.fstat(base.base_fd).st_blocks
    tracemalloc.start()
    try:
        _prepared(image, base)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB, "of 96 MiB of pages"
    assert os.fstat(base.base_fd).st_blocks == allocated, "and the base has no pages more than before"
    base.close()


def test_what_was_prepared_is_what_the_base_and_the_record_say() -> None:
    base = _prepared(baker().base, None)
    record = baker().base.blobs[baker().base.manifest.snapshot.digest]
    state = snapshot.decode(record, memory_bytes=baker().base.manifest.memory_bytes)
    assert base.pages is not None
    assert np.array_equal(base.pages[state.page_nos], state.rows)
    assert _prepared(honest(), base).manifest == honest().manifest
    wrong = replace(honest().manifest, pages_digest="sha256:" + "0" * 64)
    with pytest.raises(VerificationError, match="0000 expected"):
        prepare(1, wrong, honest().blobs[honest().manifest.snapshot.digest], base)
    base.close()


def test_a_base_that_is_not_what_its_manifest_names_leaves_no_memory_file() -> None:
    bundle = baker().base
    wrong = replace(bundle.manifest, pages_digest="sha256:" + "0" * 64)
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(VerificationError):
        prepare(1, wrong, bundle.blobs[bundle.manifest.snapshot.digest], None)
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record[:-1],
        lambda record: record[: len(record) // 2],
        lambda record: record + b"x",
        lambda record: record + record,
        lambda record: record[:40] + bytes([record[40] ^ 1]) + record[41:],
        lambda record: b"",
    ],
    ids=["cut", "half", "a byte more", "twice", "a bit", "nothing"],
)
def test_a_damaged_record_is_refused_slice_by_slice_too(spoil: Callable[[bytes], bytes]) -> None:
    manifest: ImageManifest = honest().manifest
    base = _prepared(baker().base, None)
    with pytest.raises((FormatError, VerificationError)):
        prepare(1, manifest, spoil(honest().blobs[manifest.snapshot.digest]), base)
    base.close()
