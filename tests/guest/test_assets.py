"""Files of the image, answered by the libOS: paths, codings, conditions, ranges, from memory and from a disk."""

import gzip
import random
from pathlib import Path

import brotli
import pytest

from edge.vmm.devices.disk import Arrived, Disks, Done, Drive
from edge.vmm.devices.ring import Record
from edge.vmm.memory.guest_memory import GuestMemory
from origin.bake.assets.model import Choices
from origin.bake.assets.site import Packed
from tests.support.assets import MODIFIED, guest_with, image_with, packed, write
from tests.support.guests import EXAMPLES, Guest, Response
from vmimage import abi

TEXT = b"/* rules */ " + b"a { color: red } " * 100
LARGE = random.Random(7).randbytes(300_000)
BLOCK = abi.DISK_BLOCK_SIZE
OLDER, NEWER = "Sat, 05 Nov 1994 08:49:37 GMT", "Mon, 07 Nov 1994 08:49:37 GMT"
OTHER_FORMS = ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994")


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = write(
        tmp_path_factory.mktemp("site"),
        {
            "index.html": "<h1>home</h1>",
            "404.html": "<h1>lost</h1>",
            "style.css": TEXT,
            "style.css.br": brotli.compress(TEXT),
            "style.css.gz": gzip.compress(TEXT, mtime=0),
            "docs/index.html": "<h1>docs</h1>",
            "ten.txt": b"0123456789",
            "empty.txt": b"",
            "large.bin": LARGE,
            "a name, 100% ü.txt": "odd",
            "_redirects": "/old /docs/ 301\n/away https://other.example/x?y 307\n",
        },
    )
    return packed(folder)


@pytest.fixture(scope="module")
def guest(assets: Packed, engine: str) -> Guest:
    return guest_with(assets)


def fields(**values: str) -> dict[str, str]:
    return {f"HTTP_{name.upper()}": value for name, value in values.items()}


def get(guest: Guest, path: str = "/ten.txt", method: str = "GET", **values: str) -> Response:
    answer = guest.get(path, method=method, **fields(**values))
    assert answer.ended
    assert not answer.reset
    return answer


def test_a_file_with_all_that_is_said_of_it(guest: Guest) -> None:
    answer = get(guest, "/ten.txt")
    tag = answer.headers.pop("etag")
    assert (answer.status, bytes(answer.body)) == (200, b"0123456789")
    assert tag.startswith('"')
    assert answer.headers == {
        "status": "200",
        "content-type": "text/plain; charset=utf-8",
        "content-length": "10",
        "last-modified": MODIFIED,
        "accept-ranges": "bytes",
        "cache-control": "public, max-age=60, must-revalidate",
        "nunatak-cache-control": "max-age=31536000",
        "x-content-type-options": "nosniff",
    }


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/", 200, b"<h1>home</h1>"),
        ("/index.html", 200, b"<h1>home</h1>"),
        ("/docs/", 200, b"<h1>docs</h1>"),
        ("/docs/?q=1", 200, b"<h1>docs</h1>"),
        ("/a name, 100% ü.txt", 200, b"odd"),
        ("/empty.txt", 200, b""),
        ("/large.bin", 200, LARGE),
        ("/style.css", 200, TEXT),
        ("/style.css.gz", 200, gzip.compress(TEXT, mtime=0)),
        ("/nothing", 404, b"<h1>lost</h1>"),
        ("/ten.txt/", 404, b"<h1>lost</h1>"),
        ("/docs/../ten.txt", 404, b"<h1>lost</h1>"),
        ("/./ten.txt", 404, b"<h1>lost</h1>"),
        ("//ten.txt", 404, b"<h1>lost</h1>"),
        ("/docs\\..\\ten.txt", 404, b"<h1>lost</h1>"),
        ("/_redirects", 404, b"<h1>lost</h1>"),
        ("/.nunatak/assets", 404, b"<h1>lost</h1>"),
        ("/TEN.TXT", 404, b"<h1>lost</h1>"),
        ("/" + "x" * 5000, 404, b"<h1>lost</h1>"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_path_is_what_is_listed_and_nothing_else(guest: Guest, path: str, status: int, said: bytes) -> None:
    answer = get(guest, path)
    assert (answer.status, bytes(answer.body)) == (status, said)
    assert answer.headers["content-length"] == str(len(said))
    assert ("cache-control", "no-store") in answer.headers.items() or status == 200


@pytest.mark.parametrize(
    ("path", "script", "status", "location"),
    [
        ("/docs", "", 301, "/docs/"),
        ("/docs?a=b&c", "", 301, "/docs/?a=b&c"),
        ("/docs", "/~service/site", 301, "/~service/site/docs/"),
        ("", "/~service/site", 301, "/~service/site/"),
        ("/old", "", 301, "/docs/"),
        ("/away?z", "/~service/site", 307, "https://other.example/x?y"),
    ],
)
def test_redirects(guest: Guest, path: str, script: str, status: int, location: str) -> None:
    answer = guest.get(path, SCRIPT_NAME=script)
    assert (answer.status, answer.headers["location"], bytes(answer.body)) == (status, location, b"")


def test_only_reading(guest: Guest) -> None:
    head = get(guest, method="HEAD")
    assert (head.status, head.headers["content-length"], bytes(head.body)) == (200, "10", b"")
    options = get(guest, method="OPTIONS")
    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    for method in ("POST", "PUT", "DELETE", "PROPFIND"):
        assert get(guest, method=method).status == 405
    body = guest.get("/ten.txt", method="POST", body=b"x" * 3000)
    assert (body.status, body.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [
        (None, ""),
        ("", ""),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", ""),
        ("gzip, br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0.5,gzip;q=0.500", "br"),
        ("br;q=0, gzip;q=0", ""),
        ("br;q=0, *", "gzip"),
        ("*", "br"),
        ("*;q=0", ""),
        ("gzip;q=0.001", "gzip"),
        ("identity, gzip;q=0.9", ""),
        ("identity;q=0.5, gzip;q=0.9", "gzip"),
        ("gzip;q=2", ""),
        ("gzip;q=nonsense", ""),
        ("gzip ; q=1.000 ", "gzip"),
        ("gzipped, brr", ""),
        (",,gzip,,", "gzip"),
        ("identity;q=0", ""),
    ],
)
def test_the_coding_is_the_one_that_the_client_likes_most(guest: Guest, accepts: str | None, coding: str) -> None:
    answer = get(guest, "/style.css", **({} if accepts is None else {"accept_encoding": accepts}))
    assert answer.headers.get("content-encoding", "") == coding
    assert answer.headers["vary"] == "Accept-Encoding"
    unpack = {"": bytes, "gzip": gzip.decompress, "br": brotli.decompress}[coding]
    assert unpack(bytes(answer.body)) == TEXT
    assert answer.headers["content-type"] == "text/css; charset=utf-8"


def test_each_coding_has_a_tag_of_its_own(guest: Guest) -> None:
    tags = [get(guest, "/style.css", accept_encoding=coding).headers["etag"] for coding in ("", "gzip", "br")]
    assert len(set(tags)) == 3
    assert get(guest, "/style.css", accept_encoding="gzip", if_none_match=tags[2]).status == 200
    same = get(guest, "/style.css", accept_encoding="gzip", if_none_match=tags[1])
    assert (same.status, same.headers["etag"], same.headers["vary"]) == (304, tags[1], "Accept-Encoding")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"if_none_match": "TAG"}, 304),
        ({"if_none_match": "W/TAG"}, 304),
        ({"if_none_match": '"x", "y,z" ,W/TAG'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"x"'}, 200),
        ({"if_none_match": "x, TAG"}, 304),
        ({"if_none_match": '"x, TAG'}, 200),
        ({"if_none_match": '"x"', "if_modified_since": NEWER}, 200),
        ({"if_none_match": "TAG", "if_modified_since": OLDER}, 304),
        ({"if_modified_since": MODIFIED}, 304),
        ({"if_modified_since": NEWER}, 304),
        ({"if_modified_since": OTHER_FORMS[0]}, 304),
        ({"if_modified_since": OTHER_FORMS[1]}, 304),
        ({"if_modified_since": OLDER}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_modified_since": "Sun, 06 Nov 1994 25:49:37 GMT"}, 200),
        ({"if_match": "TAG"}, 200),
        ({"if_match": '"x", TAG'}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": '"x"'}, 412),
        ({"if_match": "W/TAG"}, 412),
        ({"if_unmodified_since": MODIFIED}, 200),
        ({"if_unmodified_since": OLDER}, 412),
        ({"if_match": "TAG", "if_unmodified_since": OLDER}, 200),
        ({"if_match": '"x"', "if_none_match": "TAG"}, 412),
        ({"if_match": "TAG", "if_none_match": "TAG"}, 304),
    ],
    ids=str,
)
def test_conditions(guest: Guest, said: dict[str, str], status: int) -> None:
    tag = get(guest).headers["etag"]
    answer = get(guest, **{name: value.replace("TAG", tag) for name, value in said.items()})
    assert answer.status == status
    assert bytes(answer.body) == (b"0123456789" if status == 200 else b"")
    assert ("content-type" in answer.headers) == (status == 200)
    assert (answer.headers.get("etag") == tag) == (status != 412)


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-3", "0-3"),
        ("bytes=0-0", "0-0"),
        ("bytes=4-", "4-9"),
        ("bytes=9-100", "9-9"),
        ("bytes=-3", "7-9"),
        ("bytes=-100", "0-9"),
        ("Bytes=2-3", "2-3"),
        ("bytes=10-", None),
        ("bytes=10-20", None),
        ("bytes=-0", None),
        ("bytes=4-3", "all"),
        ("bytes=0-1,3-4", "all"),
        ("bytes=a-b", "all"),
        ("bytes=-", "all"),
        ("bytes=", "all"),
        ("bytes 0-3", "all"),
        ("lines=0-3", "all"),
        ("bytes=0-99999999999999999999", "all"),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), "all"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_ranges(guest: Guest, wanted: str, part: str | None) -> None:
    answer = get(guest, range=wanted)
    if part is None:
        assert (answer.status, answer.headers["content-range"], bytes(answer.body)) == (416, "bytes */10", b"")
    elif part == "all":
        assert (answer.status, bytes(answer.body)) == (200, b"0123456789")
    else:
        first, last = map(int, part.split("-"))
        assert (answer.status, answer.headers["content-range"]) == (206, f"bytes {part}/10")
        assert bytes(answer.body) == b"0123456789"[first : last + 1]
        assert answer.headers["content-length"] == str(last - first + 1)


def test_a_range_of_what_the_client_has(guest: Guest) -> None:
    tag = get(guest).headers["etag"]
    assert get(guest, range="bytes=1-2", if_range=tag).status == 206
    assert get(guest, range="bytes=1-2", if_range=MODIFIED).status == 206
    for other in ('"x"', f"W/{tag}", NEWER, OTHER_FORMS[0], ""):
        assert get(guest, range="bytes=1-2", if_range=other).status == 200
    assert get(guest, range="bytes=1-2", if_none_match=tag).status == 304
    assert get(guest, method="HEAD", range="bytes=1-2").status == 200
    assert get(guest, "/empty.txt", range="bytes=0-").status == 416
    coded = get(guest, "/style.css", range="bytes=0-3", accept_encoding="br")
    assert (coded.headers["content-encoding"], bytes(coded.body)) == ("br", brotli.compress(TEXT)[:4])


def test_slow_clients_hold_nobody_up(guest: Guest) -> None:
    """More than the machine has stacks, each with an answer that its client does not read."""
    slow = [guest.send("/large.bin") for _ in range(40)]
    guest.run(credit=False)
    assert {len(guest.responses[stream].body) for stream in slow} == {abi.STREAM_WINDOW}
    last = guest.send("/ten.txt")
    guest.run(credit=False)
    assert bytes(guest.responses[last].body) == b"0123456789"
    for stream in slow[1:]:
        guest.machine.offer(Record(abi.RECORD_RESET, 0, stream, b""))
    guest.run(credit=False)


def test_files_first_and_then_the_program(tmp_path: Path) -> None:
    """A program with stacks."""
    site = packed(write(tmp_path, {"a.txt": "file", "sub/index.html": "page", "large.bin": LARGE}), alone=False)
    guest = guest_with(site, EXAMPLES / "hello.c")
    assert bytes(get(guest, "/a.txt").body) == b"file"
    assert bytes(get(guest, "/sub/").body) == b"page"
    assert get(guest, "/sub").status == 301
    assert bytes(get(guest, "/large.bin").body) == LARGE
    assert bytes(get(guest, "/").body) == b"hello from /, request 1\n"
    assert bytes(get(guest, "/a.txt", method="POST").body) == b"hello from /a.txt, request 2\n"


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    folder = tmp_path_factory.mktemp("large")
    write(folder, {"a.txt": b"a" * 3000, "b.bin": LARGE * 5, "c.txt": b"c" * 60_000, "d.txt": b"d" * 9000})
    return packed(folder, disk=tmp_path_factory.mktemp("disk") / "assets.disk")


def test_files_on_a_disk(on_disk: Packed) -> None:
    guest = guest_with(on_disk)
    assert bytes(get(guest, "/a.txt").body) == b"a" * 3000
    assert bytes(get(guest, "/b.bin").body) == LARGE * 5
    assert bytes(get(guest, "/c.txt").body) == b"c" * 60_000
    part = get(guest, "/b.bin", range=f"bytes={BLOCK - 5}-{2 * BLOCK + 5}")
    assert bytes(part.body) == (LARGE * 5)[BLOCK - 5 : 2 * BLOCK + 6]
    hello = guest_with(on_disk, EXAMPLES / "hello.c")
    assert bytes(get(hello, "/b.bin").body) == LARGE * 5
    for machine in (guest, hello):
        assert len(machine.park()) < 5000, "what it has read of random bytes does not stay in it"


class Far:
    """Blocks that come when they are brought, or do not."""

    def __init__(self, assets: Packed) -> None:
        (self._local,) = assets.drives
        self.wanted: list[int] = []
        self.waiting: list[tuple[int, Arrived]] = []

    def __call__(self, memory: GuestMemory) -> Disks:
        self.device = Disks(memory, [Drive(self._local.ref)], self)
        return self.device

    def block(self, drive: int, block_no: int) -> bytes | None:
        return None

    def want(self, drive: int, block_no: int, ahead: int, arrived: Arrived) -> None:
        self.wanted.append(block_no)
        self.waiting.append((block_no, arrived))

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        raise AssertionError("nothing is written")

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        raise AssertionError("nothing is written")

    def bring(self, *, good: bool = True) -> None:
        waiting, self.waiting = self.waiting, []
        for block_no, arrived in waiting:
            assert self._local.disk is not None
            arrived(self._local.disk.block(block_no) if good else None)


def test_a_small_file_takes_one_block(on_disk: Packed) -> None:
    far = Far(on_disk)
    guest = Guest(image_with(on_disk), disks=far)
    for path, size in (("/a.txt", 3000), ("/c.txt", 60_000), ("/d.txt", 9000)):
        far.wanted.clear()
        stream = guest.send(path)
        guest.run()
        assert not guest.responses[stream].ended
        far.bring()
        guest.run()
        assert len(guest.responses[stream].body) == size
        assert len(far.wanted) == 1
    assert guest.get("/a.txt", method="HEAD").status == 200, "which needs none"


def test_a_block_that_cannot_be_had(on_disk: Packed) -> None:
    far = Far(on_disk)
    guest = Guest(image_with(on_disk), disks=far)
    first, left, large = guest.send("/a.txt"), guest.send("/c.txt"), guest.send("/b.bin")
    guest.run()
    guest.machine.offer(Record(abi.RECORD_RESET, 0, left, b""))  # while the disk is to write into its buffer
    guest.run()
    far.bring(good=False)
    guest.run()
    assert (guest.responses[first].status, guest.responses[first].headers["retry-after"]) == (503, "1")
    assert guest.responses[large].status == 503
    large = guest.send("/b.bin")
    for good in (True, False):
        guest.run()
        far.bring(good=good)
    guest.run()
    assert (guest.responses[large].status, guest.responses[large].reset) == (200, True), "some of it has left"
    again = guest.send("/a.txt")
    guest.run()
    far.bring()
    guest.run()
    assert bytes(guest.responses[again].body) == b"a" * 3000


def test_a_single_page_and_clean_paths(tmp_path: Path) -> None:
    folder = write(tmp_path, {"index.html": "app", "about.html": "about"})
    guest = guest_with(packed(folder, Choices(single_page=True, clean_urls=True)))
    assert (get(guest, "/any/where").status, bytes(get(guest, "/any/where").body)) == (200, b"app")
    assert "nunatak-cache-control" not in get(guest, "/any/where").headers
    assert bytes(get(guest, "/about").body) == b"about"
    assert get(guest, "/about.html").headers["location"] == "/about"
