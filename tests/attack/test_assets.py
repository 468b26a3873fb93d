"""A client asks a service of files for what is not among them, in every spelling; and for parts without end."""

import re

import pytest

from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.assets import write
from tests.support.edges import raw

HOST = "as-files.test"
SECRET = b"what nobody may read"
UP = ("..", "%2e%2e", "%2E.", ".%2e", "..%00", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%252e%252e", "..;")
SLASHES = ("/", "//", "%2f", "\\", "%5c", "/./", "%c0%af", "%252f")
NAMES = ("secret.txt", ".nunatak/assets", "_headers", "_redirects", "etc/passwd", "proc/self/environ")


@pytest.fixture(scope="module")
def edge(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("files")
    (folder / "secret.txt").write_bytes(SECRET)
    rules = {"_headers": "/x\n  X: " + SECRET.decode(), "_redirects": "/y /" + "z"}
    public = write(folder / "public", {"index.html": "home", "sub/a.txt": "0123456789", **rules})
    publisher = ("--origin", site.origin.url, "--keys", str(site.keys), "--token-file", str(site.keys / "token"))
    site.run("static", str(public), "--name", "as-files", "--host", HOST, *publisher)
    with Client(site.edges[0].url) as client:
        assert client.get("/", host=HOST).status == 200
    return site.edges[0]


def asked(edge: Server, target: bytes, fields: bytes = b"") -> tuple[int, bytes]:
    got = raw(
        edge,
        b"GET " + target + b" HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\nConnection: close\r\n" + fields + b"\r\n",
    )
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", got)
    assert found is not None, got
    return int(found[1]), got


def targets() -> list[str]:
    spelled = [
        f"/{start}{up}{slash}{name}"
        for up in UP
        for slash in SLASHES
        for name in NAMES
        for start in ("", "sub/", f"sub{slash}{up}{slash}")
    ]
    return [
        *spelled,
        *(f"/{name}" for name in NAMES),
        "/sub/a.txt%00.html",
        "/sub%2f..%2f..%2fsecret.txt",
        "/%00",
        "/sub/",
    ]


def test_no_spelling_leads_out_of_the_folder(edge: Server) -> None:
    """404, or 400 for what is no path."""
    wanted, statuses = targets(), set()
    with Client(edge.url) as client:
        for target in wanted:
            if any(character in target for character in " \\"):
                status, got = asked(edge, target.encode())
            else:
                answer = client.get(target, host=HOST)
                status, got = answer.status, answer.body
            assert SECRET not in got, target
            assert b"root:" not in got, target
            assert status in (400, 404), (target, status)
            statuses.add(status)
        assert statuses == {400, 404}
        assert client.get("/sub/a.txt", host=HOST).body == b"0123456789"


@pytest.mark.parametrize(
    "wanted",
    [
        b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(900)),
        b"bytes=" + b"0-," * 2600,
        b"bytes=0-18446744073709551616",
        b"bytes=18446744073709551615-",
        b"bytes=-18446744073709551616",
        b"bytes=--1",
        b"bytes=0-9,-1",
    ],
    ids=lambda value: value[:16].decode() + f"-{len(value)}",
)
def test_parts_without_end_cost_no_more_than_the_whole(edge: Server, wanted: bytes) -> None:
    status, got = asked(edge, b"/sub/a.txt", b"Range: " + wanted + b"\r\n")
    body = got.partition(b"\r\n\r\n")[2]
    assert (status, body) in ((200, b"0123456789"), (206, b"0123456789"), (416, b""))
