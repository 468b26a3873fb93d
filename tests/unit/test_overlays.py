"""Are pages that services wrote there after a crash, all of a flush or none, and within their space?"""

import asyncio
import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.counters import Counters
from edge.overlays import Overlays
from vmimage.disk import decode_pages
from vmimage.errors import OperatorError

KEY = "shop/data@sha256:00"
A, B = b"a" * 4096, b"b" * 4096


def overlays(path: Path, limit_bytes: int = 1 << 20) -> Overlays:
    return Overlays(path / "written.db", limit_bytes, ThreadPoolExecutor(1), Counters())


def pages(data: bytes) -> dict[int, bytes]:
    return decode_pages(data, 1 << 30)


def test_pages_outlive_the_process(tmp_path: Path) -> None:
    async def write() -> None:
        store = overlays(tmp_path)
        assert await store.load(KEY) == (0, bytes(4))
        assert await store.put(KEY, {1: A, 5: A}) == 0
        assert await store.put(KEY, {5: B}) == 0
        assert store.used_bytes == 2 * 4096

    async def read() -> None:
        store = overlays(tmp_path)  # the first was never closed: it was killed
        version, data = await store.load(KEY)
        assert (version, pages(data)) == (2, {1: A, 5: B})
        assert await store.load("shop/data@sha256:01") == (0, bytes(4)), "another disk has none of it"

    asyncio.run(write())
    asyncio.run(read())


def test_a_write_that_does_not_fit_leaves_everything_as_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        store = overlays(tmp_path, limit_bytes=2 * 4096)
        assert await store.put(KEY, {1: A, 2: A}) == 0
        assert await store.put(KEY, {2: B, 3: B}) == -errno.ENOSPC
        assert pages((await store.load(KEY))[1]) == {1: A, 2: A}
        assert await store.put(KEY, {1: B}) == 0, "what replaces takes no more"
        assert pages((await store.load(KEY))[1]) == {1: B, 2: A}

    asyncio.run(run())


def test_a_version_counts_from_when_a_write_begins(tmp_path: Path) -> None:
    async def run() -> None:
        store = overlays(tmp_path)
        writing = store.put(KEY, {1: A})
        assert store.version(KEY) == 1
        await writing
        store.spoil(KEY)
        assert store.version(KEY) == 2
        assert overlays(tmp_path).version(KEY) == 1, "what was spoiled is not on disk"

    asyncio.run(run())


def test_a_withdrawn_service_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        store = overlays(tmp_path)
        await store.put(KEY, {1: A})
        await store.put("shop2/data@sha256:00", {1: A})
        store.forget("shop")
        assert await store.load(KEY) == (0, bytes(4))
        assert (await store.load("shop2/data@sha256:00"))[0] == 1
        assert store.used_bytes == 4096

    asyncio.run(run())


def test_a_file_that_is_none_is_the_operators_business(tmp_path: Path) -> None:
    (tmp_path / "written.db").write_bytes(b"no database " * 1000)
    with pytest.raises(OperatorError, match="written pages"):
        overlays(tmp_path)
