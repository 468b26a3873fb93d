"""The cache of blobs on disk: what is there is found, also by the next process, and what is not is not looked for."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edge.common.counters import Counters
from edge.content.blobs import DiskStore, Load, Ref
from edge.content.disk_tier import DiskTier
from vmimage.manifest import digest_of

BLOBS = [b"blob %d" % number for number in range(20)]
REFS = [Ref("blobs", digest_of(blob), len(blob)) for blob in BLOBS]


class Origin:
    """Has all blobs, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, ref: Ref, load: Load) -> bytes:
        self.asked.append(ref.digest)
        return BLOBS[REFS.index(ref)]


class Disk(DiskTier):
    """Says what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.looks: list[str] = []
        super().__init__(folder, 1 << 20, Counters())

    def get(self, key: str) -> bytes | None:
        self.looks.append(key)
        return super().get(key)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as one:
        yield one


def run(
    folder: Path, thread: ThreadPoolExecutor, work: Callable[[DiskStore, Disk, Origin], Coroutine[Any, Any, None]]
) -> None:
    """One process of an edge."""
    disk, origin = Disk(folder), Origin()
    asyncio.run(work(DiskStore(disk, thread, thread, origin, Counters()), disk, origin))
    thread.submit(disk.close).result()


async def fetch(store: DiskStore, refs: list[Ref]) -> None:
    for ref in refs:
        assert await store.get(ref, Load()) == BLOBS[REFS.index(ref)]


def test_what_was_never_there_is_asked_of_the_origin_without_a_look(tmp_path: Path, thread: ThreadPoolExecutor) -> None:
    async def first(store: DiskStore, disk: Disk, origin: Origin) -> None:
        await fetch(store, REFS)
        assert (disk.looks, len(origin.asked)) == ([], len(REFS))
        thread.submit(lambda: None).result()  # all are written
        await asyncio.sleep(0)
        await fetch(store, REFS)
        assert (len(disk.looks), len(origin.asked)) == (len(REFS), len(REFS))

    async def next_process(store: DiskStore, disk: Disk, origin: Origin) -> None:
        await fetch(store, REFS)
        assert (len(disk.looks), origin.asked) == (len(REFS), [])

    run(tmp_path, thread, first)
    run(tmp_path, thread, next_process)


def test_what_the_disk_has_dropped_is_fetched_again(tmp_path: Path, thread: ThreadPoolExecutor) -> None:
    async def scenario(store: DiskStore, disk: Disk, origin: Origin) -> None:
        await fetch(store, REFS[:3])
        thread.submit(disk.clear).result()
        await fetch(store, REFS[:3])
        assert origin.asked == [ref.digest for ref in REFS[:3]] * 2

    run(tmp_path, thread, scenario)


def test_a_key_that_is_no_digest_stops_nothing(tmp_path: Path, thread: ThreadPoolExecutor) -> None:
    planted = DiskTier(tmp_path, 1 << 20, Counters())
    for key in ("", "sha256:short", "sha256:" + "zz" * 32, REFS[0].digest):
        planted.put(key, b"planted")
    planted.close()

    async def scenario(store: DiskStore, disk: Disk, origin: Origin) -> None:
        await fetch(store, REFS[:2])
        assert (disk.looks, len(origin.asked)) == ([REFS[0].digest], 2), "what is kept under a digest is verified"

    run(tmp_path, thread, scenario)
