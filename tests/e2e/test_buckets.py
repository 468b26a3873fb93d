"""Origins as processes over one bucket of SeaweedFS: killed at work, served from, and read past them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from edge.catalogue.catalogue import Catalogue
from loadtest.site.fetch import Client
from origin.keys import load_token
from origin.publish.client import carry_out
from origin.publish.publish import publish
from origin.registry.store import Store
from origin.storage.opening import open_store
from tests.support.buckets import seaweed, served
from tests.support.racing import origin_process, published, race, services
from tests.support.synthetic import NOW, Keys, publication
from vmimage.errors import NunatakError
from vmimage.manifest import MANIFEST_TYPE, digest_of

WAIT_S = 60.0
BLOB = bytes(range(256)) * 10_000  # more than two parts of an answer


class Running(NamedTuple):
    """A server of buckets, and keys for what origins keep there."""

    folder: Path
    variables: dict[str, str]
    keys: Keys

    @property
    def token(self) -> str:
        return load_token(self.keys.folder / "token")

    def publish(self, url: str, *services: str, content: bytes = b"") -> None:
        wanted = [publication(service, content=content) for service in services]
        exchange = publish(wanted, self.keys.trust, self.keys.publisher, NOW)
        carry_out(exchange, url=url, token=self.token)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("buckets")
    with served(folder, seaweed) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield Running(folder, variables, Keys(folder / "keys"))


def test_an_origin_is_killed_at_work_and_the_other_goes_on(running: Running, tmp_path: Path) -> None:
    """At the first manifest, at the change that counts, and behind it: all of a batch is there or nothing."""
    where = "s3://tests/killed"
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        start = (running.keys.folder, where, running.variables)
        other, _ = stack.enter_context(origin_process(*start, tmp_path / "other.log"))
        store = Store(open_store(where))
        edge = Catalogue(tmp_path / "edge", f"{other}/tuf/", running.keys.root)
        behind = ("a manifest", "the change", "the snapshot")
        for turn, moment in enumerate(behind):
            names = [f"s{turn}-{number}" for number in range(30)]
            first = publication(names[0]).image
            version = published(store, running.keys).snapshot.version + 1
            reached: dict[str, Callable[[], object]] = {
                "a manifest": lambda first=first: store.manifest_size(first),  # type: ignore[misc]
                "the change": lambda version=version: store.change(version),  # type: ignore[misc]
                "the snapshot": lambda version=version: store.read_metadata(f"{version}.snapshot.json"),  # type: ignore[misc]
            }
            with origin_process(*start, tmp_path / f"{turn}.log") as (url, process):
                publishing = pool.submit(running.publish, url, *names)
                deadline = time.monotonic() + WAIT_S
                while not reached[moment]() and not publishing.done():
                    assert time.monotonic() < deadline, f"{moment} never came"
                process.kill()
                try:
                    publishing.result(WAIT_S)
                except NunatakError:
                    pass  # nobody answers
            running.publish(other, "steady", content=b"%d" % turn)
            found = services(store, running.keys)
            assert found["steady"].version == turn + 1
            there = [name for name in names if name in found]
            assert there in ([], names)
            assert there == names or moment == "a manifest", "what has come as far as the change is published"
            edge.refresh()
            assert edge.find_service("steady") == found["steady"]


def test_publishers_race_through_two_origins_of_their_own(running: Running, tmp_path: Path) -> None:
    where = "s3://tests/race"
    with ExitStack() as stack:
        start = (running.keys.folder, where, running.variables)
        urls = [stack.enter_context(origin_process(*start, tmp_path / f"{number}.log"))[0] for number in range(2)]
        assert race(urls, running.keys, running.token, 4, 3) == {"published": 12}
        store = Store(open_store(where))
        assert [record.version for record in services(store, running.keys).values()] == [3] * 4
        assert published(store, running.keys).snapshot.version == 13


def test_what_is_in_a_bucket_is_served_by_an_origin_as_files_are(running: Running, tmp_path: Path) -> None:
    where = "s3://tests/served"
    start = (running.keys.folder, where, running.variables)
    digest = digest_of(BLOB)
    with origin_process(*start, tmp_path / "origin.log") as (url, _), Client(url) as client:
        token = {"Authorization": f"Bearer {running.token}"}
        put = client.request("POST", f"/v2/images/blobs/uploads/?digest={digest}", body=BLOB, headers=token)
        assert put.status == 201
        path = put.headers["location"]
        head = client.request("HEAD", path)
        assert (head.status, head.headers["content-length"]) == (200, str(len(BLOB)))
        whole = client.get(path)
        assert (whole.status, whole.body == BLOB, whole.headers["docker-content-digest"]) == (200, True, digest)
        part = client.request("GET", path, headers={"Range": "bytes=1048570-1048585"})
        assert (part.status, part.body) == (206, BLOB[1048570:1048586])
        assert part.headers["content-range"] == f"bytes 1048570-1048585/{len(BLOB)}"
        assert client.request("GET", path, headers={"Range": "bytes=-5"}).body == BLOB[-5:]
        beyond = client.request("GET", path, headers={"Range": f"bytes={len(BLOB)}-"})
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(BLOB)}")
        tag = whole.headers["etag"]
        assert client.request("GET", path, headers={"If-None-Match": tag}).status == 304
        mixed = client.request("GET", path, headers={"Range": "bytes=0-0", "If-Range": '"another"'})
        assert (mixed.status, len(mixed.body)) == (200, len(BLOB))
        assert client.get(f"/v2/images/blobs/{digest_of(b'none')}").status == 404
        stamp = client.get("/tuf/timestamp.json")
        assert (stamp.status, stamp.headers["cache-control"]) == (200, "no-cache")
        had = client.request("GET", "/tuf/timestamp.json", headers={"If-None-Match": stamp.headers["etag"]})
        assert (had.status, had.body) == (304, b"")
        assert client.get("/tuf/9.snapshot.json").status == 404


def test_who_reads_the_bucket_itself_gets_what_an_edge_needs(running: Running, tmp_path: Path) -> None:
    """By the keys alone, with types and for how long it may be kept."""
    where = "s3://tests/public"
    start = (running.keys.folder, where, running.variables)
    wanted = publication("shop")
    with origin_process(*start, tmp_path / "origin.log") as (url, _):
        running.publish(url, "shop")
    image = wanted.images[1].manifest
    for_ever = "max-age=31536000, immutable"
    with Client(running.variables["AWS_ENDPOINT_URL"]) as client:
        for key, type_, kept in (
            ("tuf/timestamp.json", "application/json", "no-cache"),
            ("tuf/1.root.json", "application/json", for_ever),
            (f"manifests/sha256/{image.digest[7:9]}/{image.digest[7:]}", MANIFEST_TYPE, for_ever),
            (
                f"blobs/sha256/{image.snapshot.digest[7:9]}/{image.snapshot.digest[7:]}",
                "application/octet-stream",
                for_ever,
            ),
        ):
            answer = client.get(f"/tests/public/{key}")
            assert (answer.status, answer.headers["content-type"], answer.headers["cache-control"]) == (
                200,
                type_,
                kept,
            )
            if "sha256" in key:
                assert digest_of(answer.body) == f"sha256:{key.rpartition('/')[2]}"
    edge = Catalogue(tmp_path / "edge", f"{running.variables['AWS_ENDPOINT_URL']}/tests/public/tuf/", running.keys.root)
    edge.refresh()
    assert edge.find_service("shop") == services(Store(open_store(where)), running.keys)["shop"]
