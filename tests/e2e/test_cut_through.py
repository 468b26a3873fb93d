"""A parent gives a blob on while it comes: from its start on, to all who ask, and never the end of a false one."""

import asyncio
import http.client
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edge.common.counters import Counters
from edge.config.sources import parse_place
from edge.content.blobs import Load, Ref
from edge.content.coming import HELD_BACK
from edge.sources.made import web_sources
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from tests.support.edges import PATIENCE_S
from tests.support.parents import Bucket, parent
from vmimage.manifest import digest_of

CLIENTS = 50
SIZE = 1 << 20
HALF = SIZE // 2


class Blob:
    """One that a bucket has, and of which it gives the first half before it is told to go on."""

    def __init__(self, bucket: Bucket) -> None:
        self.data = os.urandom(SIZE)
        self.digest = digest_of(self.data)
        self.path = f"/blobs/sha256/{self.digest[7:9]}/{self.digest[7:]}"
        file = bucket.folder / self.path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(self.data)
        bucket.stops[self.path] = HALF


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    (tmp_path / "bucket").mkdir()
    with Bucket(tmp_path / "bucket").serving() as bucket:
        yield bucket
        bucket.goes_on.set()


@contextmanager
def asked(server: Server, blob: Blob, **fields: str) -> Iterator[http.client.HTTPResponse]:
    """An answer that has begun."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/v2/images/blobs/{blob.digest}", headers=fields)
        yield connection.getresponse()
    finally:
        connection.close()


def broken_off(response: http.client.HTTPResponse) -> bytes:
    """What comes of an answer before its connection is broken off."""
    with pytest.raises(http.client.IncompleteRead) as broken:
        response.read()
    return broken.value.partial


def test_the_first_bytes_are_there_before_the_last_have_come_through_two_parents(
    bucket: Bucket, tmp_path: Path
) -> None:
    blob = Blob(bucket)
    with (
        parent(tmp_path, "far", bucket.source) as far,
        parent(tmp_path, "near", far.url) as near,
        asked(near, blob) as response,
    ):
        assert response.read(HALF) == blob.data[:HALF]
        assert not bucket.goes_on.is_set(), "the parent cannot have had more"
        bucket.goes_on.set()
        assert response.read() == blob.data[HALF:]
        assert response.getheader("Cache-Status", "").count("fwd=miss") == 2


def test_fifty_clients_each_at_its_own_pace_cost_one_fetch(bucket: Bucket, tmp_path: Path) -> None:
    blob = Blob(bucket)
    took, half = [b""] * CLIENTS, threading.Barrier(CLIENTS + 1)

    def take(number: int) -> None:
        with asked(server, blob) as response:
            part = response.read(HALF) if number % 2 else response.read(1)
            half.wait(PATIENCE_S)
            took[number] = part + response.read()

    with parent(tmp_path, "parent", bucket.source) as server:
        threads = [threading.Thread(target=take, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        half.wait(PATIENCE_S)  # all have begun, half of them have all that there is
        with asked(server, blob, Range=f"bytes={HALF - 10}-") as resumed, asked(server, blob) as late:
            assert (resumed.status, resumed.read(10)) == (206, blob.data[HALF - 10 : HALF])
            assert late.read(HALF) == blob.data[:HALF]
            bucket.goes_on.set()
            assert (resumed.read(), late.read()) == (blob.data[HALF:], blob.data[HALF:])
        for thread in threads:
            thread.join(PATIENCE_S)
        assert all(each == blob.data for each in took)
        assert bucket.asked == {blob.path: 1}


def test_what_is_wrong_at_its_end_is_broken_off_before_it(bucket: Bucket, tmp_path: Path) -> None:
    blob = Blob(bucket)
    bucket.lies.add(blob.path)
    with parent(tmp_path, "parent", bucket.source) as server:
        with (
            asked(server, blob) as whole,
            asked(server, blob) as other,
            asked(server, blob, Range=f"bytes=100-{HALF + 99}") as part,
        ):
            assert whole.read(HALF) == bytes(HALF), "nobody can know yet"
            bucket.goes_on.set()
            assert len(broken_off(whole)) <= SIZE - HALF - HELD_BACK
            assert len(broken_off(other)) <= SIZE - HELD_BACK
            assert len(broken_off(part)) <= HALF - HELD_BACK
        with Client(server.admin_url) as admin:
            said = admin.get("/-/metrics").body.decode()
        assert 'nunatak_parent_requests_total{kind="blobs",result="broken off"} 3' in said
        bucket.lies.clear()
        with asked(server, blob) as right:
            assert right.read() == blob.data, "and nothing of it is kept"


def test_who_fetches_by_a_parent_that_was_lied_to_has_it_all_the_same(bucket: Bucket, tmp_path: Path) -> None:
    blob = Blob(bucket)
    bucket.lies.add(blob.path)
    bucket.goes_on.set()
    (tmp_path / "origin").mkdir()
    with Bucket(tmp_path / "origin").serving() as origin, parent(tmp_path, "parent", bucket.source) as server:
        file = origin.folder / blob.path.lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_bytes(blob.data)

        async def fetch() -> bytes:
            store = web_sources([parse_place(server.url), parse_place(origin.source)], PATIENCE_S, Counters())
            try:
                return await store.get(Ref("blobs", blob.digest, SIZE), Load())
            finally:
                await store.close()

        assert asyncio.run(fetch()) == blob.data
