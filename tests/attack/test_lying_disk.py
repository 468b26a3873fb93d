"""An origin that gives other blocks than it promised: the guest gets an I/O error, and nothing of them is kept."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from loadtest.site.fetch import Client
from loadtest.site.site import Site
from origin.model.diskfile import DiskFile
from tests.support.edges import metrics

PROGRAM = Path(__file__).parent.parent / "guest" / "programs" / "disks.c"
BLOCK = 65536
DATA = random.Random(5).randbytes(16 * BLOCK)


@pytest.fixture
def disk(own_site: Site) -> DiskFile:
    (own_site.folder / "data").write_bytes(DATA)
    packed = own_site.folder / "data.disk"
    own_site.run("disk", "build", str(own_site.folder / "data"), "-o", str(packed))
    image = own_site.build(PROGRAM, "--disk", f"data={packed}:shared", name="lied")
    own_site.publish(image, "lied", disks=[packed])
    return DiskFile(packed)


def blob_of(site: Site, digest: str) -> Path:
    hexdigits = digest.removeprefix("sha256:")
    return site.store / "blobs" / "sha256" / hexdigits[:2] / hexdigits


LIES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "another block": lambda wire, other: other,
    "one bit": lambda wire, other: wire[:100] + bytes([wire[100] ^ 1]) + wire[101:],
    "cut short": lambda wire, other: wire[:-10],
    "too long": lambda wire, other: wire + b"more",
    "nothing": lambda wire, other: b"",
    "a bomb": lambda wire, other: zstandard.compress(bytes(1 << 28)),
}


def test_lies_about_blocks(own_site: Site, disk: DiskFile) -> None:
    edge = own_site.edges[0]
    with Client(edge.url) as client:
        assert client.get("/read?offset=0&size=4", host="lied.test").body == DATA[:4]
        for number, (name, lie) in enumerate(LIES.items(), start=1):
            block_no = number * 2  # not straight on: nothing is fetched ahead
            path = blob_of(own_site, disk.blocks[block_no].digest)
            true = path.read_bytes()
            before = metrics(edge)["block_errors_total"]
            path.write_bytes(lie(true, blob_of(own_site, disk.blocks[0].digest).read_bytes()))
            answer = client.get(f"/read?offset={block_no * BLOCK}&size=4", host="lied.test")
            assert (answer.status, answer.headers["x-result"]) == (200, "-5"), name
            assert metrics(edge)["block_errors_total"] == before + 1
            path.write_bytes(true)
            answer = client.get(f"/read?offset={block_no * BLOCK}&size=4", host="lied.test")
            assert answer.body == DATA[block_no * BLOCK :][:4], name


def test_a_list_that_lies_is_refused_whole(own_site: Site, disk: DiskFile) -> None:
    path = blob_of(own_site, disk.manifest.block_list.digest)
    path.write_bytes(bytes(len(path.read_bytes())))
    with Client(own_site.edges[0].url) as client:
        answer = client.get("/", host="lied.test")
    assert (answer.status, answer.error) == (502, "unverifiable")
    assert metrics(own_site.edges[0])["disks_loaded_total"] == 0


def test_a_block_that_went_bad_on_the_edges_disk_is_fetched_again(own_site: Site, disk: DiskFile) -> None:
    edge = own_site.edges[0]
    with Client(edge.url) as client:
        assert client.get("/read?offset=65536&size=4", host="lied.test").body == DATA[BLOCK : BLOCK + 4]
    edge.stop()
    wire = disk.blob(disk.blocks[1].digest)
    found = [p for p in (own_site.folder / "edge-1" / "blobs").rglob("*.val") if p.read_bytes() == wire]
    assert len(found) == 1
    found[0].write_bytes(hashlib.sha512(wire).digest() * 100)
    own_site.restart(edge)
    with Client(edge.url) as client:
        assert client.get("/read?offset=65536&size=4", host="lied.test").body == DATA[BLOCK : BLOCK + 4]
    counted = metrics(edge)
    assert (counted["disk_bad_total"], counted["block_errors_total"]) == (1, 0)
