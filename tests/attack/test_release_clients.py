"""Do clients of a candidate have it counted as failing by what they do themselves, and is what it does itself counted?

On an edge with a short patience, whose candidate is all that its visitors get. It is asked by who stalls, breaks off,
sends what is no body, or does not read: all of that is his. Answers that the program breaks off are the program's.
"""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from edge.main import build_app
from loadtest.site.server import Server
from loadtest.site.site import Site
from tests.support.edges import PATIENCE_S, admin, eventually, metrics

HOST = b"Host: shop.test\r\n"
PROGRAM = """#include <nunatak.h>
static char part[65536];
static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    if (path[1] == 'f') { nk_status(request, 500); nk_printf(request, "fails\\n"); return; }
    if (path[1] == 'l') for (int i = 0; i < 400; i++) if (nk_write(request, part, sizeof part)) return;
    if (path[1] == 'b') { nk_write(request, part, sizeof part); nk_flush(request); nk_abort(request); return; }
    ptrdiff_t size;
    nk_printf(request, "%s\\n");
    nk_flush(request);
    while ((size = nk_read(request, part, sizeof part)) > 0) { nk_write(request, part, size); nk_flush(request); }
}
int main(void) { return nk_serve(page); }
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All of whose visitors get the candidate of a service."""
    patience: dict[str, int | float | str | bool] = {"request_timeout": 1.0, "stream_timeout": 2.0}
    config = {**patience, "refresh": 0.2, "max_body": 1 << 20}
    with Site(tmp_path_factory.mktemp("clients"), edge_config=config) as site:
        old, new = (_image(site, name) for name in ("old", "new"))
        to = ["--service", "shop", "--origin", site.origin.url, "--keys", str(site.keys)]
        _run("publish", str(old), "--host", "shop.test", *to)
        _run("release", "start", str(new), "--percent", "100", "--sticky", "address", *to)
        [edge] = site.edges
        _ask(edge, b"GET / HTTP/1.1\r\n%bConnection: close\r\n\r\n" % HOST)
        eventually(lambda: _release(edge)["state"] == "under way", "the candidate is under way")
        yield edge


def _image(site: Site, name: str) -> Path:
    source = site.folder / f"{name}.c"
    source.write_text(PROGRAM.replace('"%s', f'"{name}'))
    return site.build(source, name=f"clients-{name}")


def _run(*words: str) -> None:
    result = CliRunner().invoke(build_app(), words)
    assert result.exit_code == 0, result.output


def _release(edge: Server) -> dict[str, Any]:
    [row] = json.loads(admin(edge, "services").body)["services"]
    return dict(row.get("release") or {"state": ""})


def _counts(edge: Server) -> tuple[int, int, int]:
    seen = _release(edge)["candidate"]
    return seen["requests"], seen["failed"], seen["crashes"]


def _ask(edge: Server, data: bytes, *, reads: bool = True) -> None:
    """Send it, and read until the edge closes. Who does not read leaves once something has come."""
    with _connected(edge, data) as connection, suppress(ConnectionError):
        while connection.recv(1 << 16) and reads:
            pass


def _lazy(edge: Server, data: bytes) -> None:
    """Ask, read nothing, and be cut for it."""
    before = metrics(edge)["cut_answers_total"]
    with _connected(edge, data):
        eventually(lambda: metrics(edge)["cut_answers_total"] > before, "the edge gives up on who does not read")


def _connected(edge: Server, data: bytes) -> socket.socket:
    parts, connection = urlsplit(edge.url), socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE_S)
    connection.connect((parts.hostname, parts.port))
    with suppress(ConnectionError):  # the edge may well have enough before it has all
        connection.sendall(data)
    return connection


POST = b"POST / HTTP/1.1\r\n%b" % HOST
CHUNKED = b"%bTransfer-Encoding: chunked\r\n\r\n" % POST
GET = b"GET %b HTTP/1.1\r\n%b\r\n"
CLIENTS: dict[str, Callable[[Server], object]] = {
    "a short body that does not come": partial(_ask, data=b"%bContent-Length: 10\r\n\r\nabc" % POST),
    "a long body that does not come": partial(_ask, data=b"%bContent-Length: 500000\r\n\r\nabc" % POST),
    "a body of chunks that does not end": partial(_ask, data=b"%b3\r\nabc\r\n" % CHUNKED),
    "chunks that are none": partial(_ask, data=b"%b3\r\nabc\r\nxyz\r\n" % CHUNKED),
    "a body that is too large as it comes": partial(_ask, data=CHUNKED + b"10000\r\n%b\r\n" % (b"x" * 65536) * 17),
    "a body that is too large": partial(_ask, data=b"%bContent-Length: 5000000000\r\n\r\n" % POST),
    "a coding that nobody knows": partial(_ask, data=b"%bTransfer-Encoding: gzip, chunked\r\n\r\n" % POST),
    "a method that nobody knows": partial(_ask, data=b"BREW / HTTP/1.1\r\n%b\r\n" % HOST),
    "a version that nobody speaks": partial(_ask, data=b"GET / HTTP/1.9\r\n%b\r\n" % HOST),
    "only what is kept": partial(
        _ask, data=b"GET / HTTP/1.1\r\nCache-Control: only-if-cached\r\nConnection: close\r\n%b\r\n" % HOST
    ),
    "a head that is too large": partial(_ask, data=b"GET / HTTP/1.1\r\nX: %b\r\n%b\r\n" % (b"x" * 100_000, HOST)),
    "a client who leaves in the middle": partial(_ask, data=GET % (b"/large", HOST), reads=False),
    "a client who does not read": partial(_lazy, data=GET % (b"/large", HOST)),
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_what_a_client_does_himself_is_no_failure_of_the_candidate(
    edge: Server, client: Callable[[Server], object]
) -> None:
    _, failed, crashes = _counts(edge)
    client(edge)
    _ask(edge, b"GET / HTTP/1.1\r\n%bConnection: close\r\n\r\n" % HOST)
    assert _counts(edge)[1:] == (failed, crashes)


@pytest.mark.parametrize("path", ["/fails", "/breaks"])
def test_what_the_candidate_does_itself_is_counted(edge: Server, path: str) -> None:
    before = _counts(edge)[1]
    _ask(edge, b"GET %b HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (path.encode(), HOST))
    eventually(lambda: _counts(edge)[1] == before + 1, "it is counted")
