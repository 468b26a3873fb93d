"""Do parents ask their sources once for all who want the same, and is one that ends no loss to anybody?"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge.catalogue.catalogue import Catalogue
from edge.common.counters import Counters
from edge.config.sources import parse_place
from edge.content.blobs import Load, Ref
from edge.sources.fetch import Sources
from edge.sources.made import web_sources
from edge.sources.source import Opened
from edge.sources.web import WebSource
from loadtest.site.bucket import free_port
from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from tests.attack.repository import Repository, record
from tests.support.parents import Bucket, parent
from vmimage.errors import VerificationError
from vmimage.manifest import MANIFEST_TYPE, digest_of

CLIENTS = 50
LARGE = os.urandom(1 << 20) * 24  # more than sockets hold on the way


def put(bucket: Bucket, kind: str, data: bytes) -> str:
    digest = digest_of(data)
    path = bucket.folder / kind / "sha256" / digest[7:9] / digest[7:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest


def at(kind: str, digest: str) -> str:
    """Where a bucket has it."""
    return f"/{kind}/sha256/{digest[7:9]}/{digest[7:]}"


def metadata(bucket: Bucket, name: str, role: str, version: int) -> bytes:
    data = json.dumps({"signatures": [], "signed": {"_type": role, "version": version}}).encode()
    (bucket.folder / "tuf").mkdir(exist_ok=True)
    (bucket.folder / "tuf" / name).write_bytes(data)
    return data


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with Bucket(tmp_path_factory.mktemp("bucket")).serving() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def chain(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """Two parents, the first of which has the second as its source, which has the bucket."""
    folder = tmp_path_factory.mktemp("chain")
    with ExitStack() as stack:
        second = stack.enter_context(parent(folder, "second", bucket.source, options=("--negative", "30")))
        yield stack.enter_context(parent(folder, "first", second.url)), second


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    with Client(server.url) as client:
        return client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def health(server: Server) -> dict[str, object]:
    with Client(server.admin_url) as client:
        said: dict[str, object] = json.loads(client.get("/-/health").body)
        return said


def blob(digest: str) -> str:
    return f"/v2/images/blobs/{digest}"


# One parent, and a parent of a parent.


def test_content_is_kept_by_each_and_each_says_how_it_had_it(bucket: Bucket, chain: tuple[Server, Server]) -> None:
    digest = put(bucket, "blobs", b"kept by both")
    answers = [ask(chain[0], blob(digest)) for _ in range(2)]
    assert [answer.body for answer in answers] == [b"kept by both"] * 2
    first = "nunatak-parent; fwd=miss; fwd-status=200; stored"
    assert [answer.headers["cache-status"] for answer in answers] == [
        f"{first}, {first}",
        "nunatak-parent; hit; detail=memory",
    ]
    assert bucket.asked[at("blobs", digest)] == 1
    [hops] = [said for said in bucket.headers if said.get("cdn-loop", "").count(",") == 1][-1:]
    assert len({*hops["cdn-loop"].split(", ")}) == 2, "each has a name of its own"
    assert hops["via"] == "1.1 nunatak-parent, 1.1 nunatak-parent"
    assert answers[0].headers["docker-content-digest"] == digest


def test_parts_heads_and_manifests(bucket: Bucket, chain: tuple[Server, Server]) -> None:
    data = b"0123456789"
    digest, manifest = put(bucket, "blobs", data), put(bucket, "manifests", b'{"schemaVersion": 2}')
    part = ask(chain[0], blob(digest), Range="bytes=4-")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"456789", "bytes 4-9/10")
    assert ask(chain[0], blob(digest), Range="bytes=10-").status == 416
    assert ask(chain[0], blob(digest), Range="bytes=-3").body == b"789"
    head = ask(chain[0], blob(digest), "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, "10", b"")
    got = ask(chain[0], f"/v2/images/manifests/{manifest}")
    assert (got.status, got.headers["content-type"]) == (200, MANIFEST_TYPE)
    assert ask(chain[0], "/v2/").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/images/manifests/latest", 404),
        ("GET", "/v2/images/blobs/sha256:zz", 404),
        ("GET", "/v2/other/blobs/" + digest_of(b"x"), 404),
        ("PUT", "/v2/images/manifests/latest", 405),
        ("POST", "/tuf/roles", 405),
        ("GET", "/tuf/passwd", 404),
        ("GET", "/tuf/0.root.json", 404),
        ("GET", "/tuf/root.json", 404),
        ("GET", "/-/metrics", 404),
    ],
)
def test_what_a_parent_does_not_give(chain: tuple[Server, Server], method: str, path: str, status: int) -> None:
    assert ask(chain[0], path, method).status == status


def test_what_is_nowhere_is_asked_for_once_in_a_while(bucket: Bucket, chain: tuple[Server, Server]) -> None:
    digest = digest_of(b"nowhere")
    assert [ask(chain[1], blob(digest)).status for _ in range(3)] == [404] * 3
    assert bucket.asked[at("blobs", digest)] == 1


def test_bytes_that_are_others_are_not_given_out(bucket: Bucket, chain: tuple[Server, Server]) -> None:
    digest = put(bucket, "blobs", b"the right ones")
    bucket.lies.add(at("blobs", digest))
    assert ask(chain[0], blob(digest)).status == 502
    bucket.lies.clear()
    assert ask(chain[0], blob(digest)).body == b"the right ones", "and nothing of them is kept"


def test_files_of_the_catalogue(bucket: Bucket, chain: tuple[Server, Server]) -> None:
    root = metadata(bucket, "1.root.json", "root", 1)
    answers = [ask(chain[0], "/tuf/1.root.json") for _ in range(3)]
    assert [answer.body for answer in answers] == [root] * 3
    assert bucket.asked["/tuf/1.root.json"] == 1
    assert "immutable" in answers[0].headers["cache-control"]
    metadata(bucket, "2.snapshot.json", "snapshot", 1)
    assert ask(chain[0], "/tuf/2.snapshot.json").status == 502, "it is not of the number that its name says"
    right = metadata(bucket, "2.snapshot.json", "snapshot", 2)
    assert ask(chain[0], "/tuf/2.snapshot.json").body == right


def test_a_file_that_does_not_verify_can_be_had_anew(bucket: Bucket, chain: tuple[Server, Server]) -> None:
    """A parent has no keys. An edge has, and says so when it has no use for what is kept."""
    metadata(bucket, "3.snapshot.json", "snapshot", 3)
    before = ask(chain[1], "/tuf/3.snapshot.json").body
    signed = before.replace(b'"signatures": []', b'"signatures": [1]')
    (bucket.folder / "tuf" / "3.snapshot.json").write_bytes(signed)
    assert ask(chain[1], "/tuf/3.snapshot.json").body == before
    assert ask(chain[1], "/tuf/3.snapshot.json", Cache_Control="no-cache").body == signed
    assert ask(chain[1], "/tuf/3.snapshot.json").body == signed


def test_pollers_of_the_timestamp_are_one_request_and_its_end_is_none_of_theirs(bucket: Bucket, tmp_path: Path) -> None:
    first = metadata(bucket, "timestamp.json", "timestamp", 1)
    with parent(tmp_path, "polled", bucket.source) as server, Client(server.url) as client:
        polls = [client.get("/tuf/timestamp.json") for _ in range(200)]
        assert {poll.body for poll in polls} == {first}
        assert bucket.asked["/tuf/timestamp.json"] <= 1 + sum(poll.total_ms for poll in polls) / 1000
        assert polls[0].headers["cache-control"] == "max-age=1"
        etag = polls[0].headers["etag"]
        assert client.request("GET", "/tuf/timestamp.json", headers={"If-None-Match": etag}).status == 304
        bucket.away = True
        try:
            while "stale" not in (stale := client.get("/tuf/timestamp.json")).headers["cache-status"]:
                assert stale.body == first
            assert (stale.status, stale.body) == (200, first)
            server.stop()
            server.start()
            again = ask(server, "/tuf/timestamp.json")
            assert (again.status, again.body) == (200, first), "also after a restart"
            assert health(server)["status"] in ("ok", "degraded")
        finally:
            bucket.away = False


def test_parents_that_are_each_others_sources_say_so(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    with (
        parent(tmp_path, "other", f"http://{address}") as other,
        parent(tmp_path, "one", other.url, options=("--listen", address)) as one,
    ):
        assert ask(one, blob(digest_of(b"nowhere"))).status == 502
        with Client(other.admin_url) as admin:
            said = admin.get("/-/metrics").body.decode()
        with Client(one.admin_url) as admin:
            said += admin.get("/-/metrics").body.decode()
        assert 'kind="other",result="loop"' in said


# Many clients.


def test_fifty_clients_cost_the_origin_one_fetch_for_each_parent(tmp_path: Path) -> None:
    """All want the same new image at once: half of them ask one parent first, half the other."""
    (tmp_path / "bucket").mkdir()
    with Bucket(tmp_path / "bucket").serving() as bucket:
        data = {put(bucket, "blobs", os.urandom(200_000 + n)): n for n in range(4)}
        with parent(tmp_path, "east", bucket.source) as east, parent(tmp_path, "west", bucket.source) as west:
            bucket.open.clear()  # until all have asked

            async def all_at_once() -> list[list[bytes]]:
                urls = [east.url, west.url]
                stores = [
                    web_sources([parse_place(url) for url in (urls[n % 2 :] + urls[: n % 2])], 20.0, Counters())
                    for n in range(CLIENTS)
                ]
                for store in stores:  # a hedge would be one more fetch, of the other parent
                    for _ in range(100):
                        store.hedging.began(10.0)
                wanted = [
                    asyncio.gather(
                        *(store.get(Ref("blobs", digest, 200_000 + n), Load()) for digest, n in data.items())
                    )
                    for store in stores
                ]
                await asyncio.to_thread(_until_asked, bucket, 2 * len(data))
                bucket.open.set()
                try:
                    return await asyncio.gather(*wanted)
                finally:
                    for store in stores:
                        await store.close()

            got = asyncio.run(all_at_once())
        assert len(got) == CLIENTS
        assert bucket.asked == {at("blobs", digest): 2 for digest in data}


def _until_asked(bucket: Bucket, times: int) -> None:
    """A bounded wait for so many requests."""
    until_s = time.monotonic() + 30
    while bucket.asked.total() < times and time.monotonic() < until_s:
        time.sleep(0.01)


class Killing(WebSource):
    """A parent that is killed when a client has the first bytes of a blob."""

    server: Server

    async def open(self, ref: Ref, first: int, give_up_s: float) -> Opened:
        """See `BlobSource`."""
        opened = await super().open(ref, first, give_up_s)
        return opened._replace(chunks=self._killing(opened))

    async def _killing(self, opened: Opened) -> AsyncIterator[bytes]:
        async for chunk in opened.chunks:
            yield chunk
            if self.server.running:
                await asyncio.to_thread(self.server.kill)


def test_a_parent_that_is_killed_in_the_middle_of_a_blob_costs_nobody_an_error(bucket: Bucket, tmp_path: Path) -> None:
    digest = put(bucket, "blobs", LARGE)
    with parent(tmp_path, "doomed", bucket.source) as server:
        counters = Counters()

        async def fetch() -> bytes:
            doomed = Killing(parse_place(server.url), 30.0)
            doomed.server = server
            store = Sources([doomed, WebSource(parse_place(bucket.source), 30.0)], 30.0, counters)
            try:
                return await store.get(Ref("blobs", digest, len(LARGE)), Load())
            finally:
                await store.close()

        bucket.ranges.clear()
        assert asyncio.run(fetch()) == LARGE
        assert counters.source_fetches == {(server.url, "unreachable"): 1, (bucket.source, "ok"): 1}
        [resumed] = bucket.ranges
        assert 0 < int(resumed.removeprefix("bytes=").removesuffix("-")) < len(LARGE)
        assert sum(counters.source_bytes.values()) == len(LARGE), "and no byte twice"


def test_what_a_parent_keeps_of_a_liar_is_gone_once_an_edge_has_seen_it(tmp_path: Path) -> None:
    """The parent's source gave a forged snapshot of the right number. The parent cannot know; the edge can."""
    repository = Repository()
    repository.publish(record("hello"))
    (tmp_path / "bucket" / "tuf").mkdir(parents=True)
    with Bucket(tmp_path / "bucket").serving() as bucket:
        for name, data in repository.files.items():
            (bucket.folder / "tuf" / name).write_bytes(data)
        name = f"{repository.snapshot_version}.snapshot.json"
        forged = json.dumps({"signatures": [], "signed": {"_type": "snapshot", "version": repository.snapshot_version}})
        (bucket.folder / "tuf" / name).write_text(forged)
        with parent(tmp_path, "deceived", bucket.source) as server:
            edge = Catalogue(tmp_path / "edge", f"{server.url}/tuf/", repository.root)
            with pytest.raises(VerificationError):
                edge.refresh()
            (bucket.folder / "tuf" / name).write_bytes(repository.files[name])
            assert ask(server, f"/tuf/{name}").body == forged.encode(), "it is kept, as one that never changes"
            assert edge.refresh()
            assert edge.find_service("hello") == record("hello")
            assert ask(server, f"/tuf/{name}").body == repository.files[name]
