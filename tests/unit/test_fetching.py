"""What an answer means to who fetches: redirects, pauses and refusals as a table, and that both clients keep to it."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from edge.common.counters import Counters
from edge.common.fetching import (
    REDIRECTS_MAX,
    RETRY_DEFAULT_S,
    RETRY_MAX_S,
    RETRY_MIN_S,
    Content,
    Later,
    Meaning,
    Moved,
    Refused,
    meaning,
    refusal,
    retry_after_s,
)
from edge.config.sources import parse_place
from edge.content.blobs import Load, Ref
from edge.sources.made import web_sources
from tests.attack.repository import Mirror, Repository, record
from vmimage import oci
from vmimage.errors import OriginBusy, OriginError, OriginTimeout, VerificationError

HERE = "https://origin.example/v2/images/blobs/sha256:aa"
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, Content()),
        (301, {"Location": "https://cdn.example/b"}, Moved("https://cdn.example/b")),
        (302, {"Location": "/elsewhere?x=1#part"}, Moved("https://origin.example/elsewhere?x=1")),
        (303, {"Location": "./sha256:bb"}, Moved("https://origin.example/v2/images/blobs/sha256:bb")),
        (307, {"Location": "//s3.example/b?sig=%2F"}, Moved("https://s3.example/b?sig=%2F")),
        (308, {"Location": "https://[::1]:8443/b"}, Moved("https://[::1]:8443/b")),
        (429, {"Retry-After": "7"}, Later(7.0)),
        (503, {}, Later(RETRY_DEFAULT_S)),
        *((status, {}, Refused()) for status in (204, 206, 300, 304, 305, 400, 401, 403, 404, 416, 500, 502)),
    ],
)
def test_meanings(status: int, headers: dict[str, str], expected: Meaning) -> None:
    assert meaning(HERE, status, headers, 0, NOW) == expected


@pytest.mark.parametrize(
    ("location", "why"),
    [
        (None, "URL to go to"),
        ("", "URL to go to"),
        ("ftp://cdn.example/b", "URL to go to"),
        ("file:///etc/passwd", "URL to go to"),
        ("https://user:password@cdn.example/b", "URL to go to"),
        ("https://cdn.example:port/b", "URL to go to"),
        ("https://[half/b", "URL to go to"),
        ("http://origin.example/b", "it would leave TLS"),
    ],
)
def test_places_that_are_not_gone_to(location: str | None, why: str) -> None:
    with pytest.raises(OriginError, match=why):
        meaning(HERE, 307, {"Location": location} if location is not None else {}, 0, NOW)


def test_plain_http_may_become_tls_and_circles_end() -> None:
    assert meaning("http://a.example/b", 301, {"Location": "https://a.example/b"}, 0, NOW) == Moved(
        "https://a.example/b"
    )
    meaning(HERE, 302, {"Location": HERE}, REDIRECTS_MAX - 1, NOW)
    with pytest.raises(OriginError, match=f"at most {REDIRECTS_MAX} redirects"):
        meaning(HERE, 302, {"Location": HERE}, REDIRECTS_MAX, NOW)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (None, RETRY_DEFAULT_S),
        ("", RETRY_DEFAULT_S),
        ("soon", RETRY_DEFAULT_S),
        ("-5", RETRY_DEFAULT_S),
        ("1.5", RETRY_DEFAULT_S),
        ("0", RETRY_MIN_S),
        (" 12 ", 12.0),
        ("9" * 30, RETRY_MAX_S),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tuesday, 14-Nov-23 22:13:50 GMT", 30.0),
        ("Tue Nov 14 22:13:50 2023", 30.0),
        ("Tue, 14 Nov 2000 22:13:50 GMT", RETRY_MIN_S),
        ("Tue, 14 Nov 9999 22:13:50 GMT", RETRY_MAX_S),
    ],
)
def test_how_long_to_wait(field: str | None, seconds: float) -> None:
    assert retry_after_s(field, NOW) == seconds


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such"}]}', "MANIFEST_UNKNOWN: no such"),
        (b'{"errors":[{"code":"DENIED"},{"message":"really"}]}', "DENIED; really"),
        (b'{"errors":[{"code":"DENIED","message":"a\\nb\\u001b[31m"}]}', "DENIED: a\ufffdb\ufffd[31m"),
        *((body, "") for body in (b"", b"<html>", b"[]", b'{"errors":7}', b'{"errors":["x"]}', b"\xff", b"[" * 99999)),
        (b'{"errors":[{"code":"X","message":"' + b"y" * 9000 + b'"}]}', "X: " + "y" * (oci.REASON_MAX - 3)),
    ],
)
def test_reasons_of_registries(body: bytes, said: str) -> None:
    assert oci.reason(body) == said
    line = str(refusal(HERE, 404, {}, body))
    assert line == f"{HERE}: status 200 expected, got 404" + (f": {said}" if said else "")


@pytest.mark.parametrize("challenge", ['Bearer realm="https://auth.example/token",service="r"', 'Basic realm="r"', ""])
def test_a_registry_that_wants_credentials(challenge: str) -> None:
    line = str(refusal(HERE, 401, {"WWW-Authenticate": challenge} if challenge else {}, b""))
    assert "no credentials that serve" in line
    assert challenge.partition(" ")[0] in line
    assert "\n" not in line


# Blobs and manifests.

BLOB = b"content"
REF = Ref("blobs", f"sha256:{hashlib.sha256(BLOB).hexdigest()}", len(BLOB))
MANIFEST = REF._replace(kind="manifests")
_Answer = Callable[[web.BaseRequest], web.Response]


def fetched(answer: _Answer, ref: Ref = REF, *, timeout_s: float = 5.0) -> tuple[bytes, list[web.BaseRequest]]:
    """What comes of one fetch from a server that answers so, and what it was asked."""
    asked: list[web.BaseRequest] = []

    async def handle(request: web.BaseRequest) -> web.Response:
        asked.append(request)
        return answer(request)

    async def fetch() -> bytes:
        server = await asyncio.get_running_loop().create_server(web.Server(handle), "127.0.0.1", 0)
        place = parse_place(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        store = web_sources([place], timeout_s, Counters())
        try:
            return await store.get(ref, Load())
        finally:
            await store.close()
            server.close()

    return uvloop.run(fetch()), asked


def test_manifests_are_asked_for_by_their_types() -> None:
    for ref, accept in ((MANIFEST, oci.ACCEPT), (REF, "*/*")):
        data, [asked] = fetched(lambda _: web.Response(body=BLOB), ref)
        assert (data, asked.headers.getall("Accept")) == (BLOB, [accept])
    assert oci.ACCEPT.split(", ")[0] == "application/vnd.oci.image.manifest.v1+json"


def test_a_redirect_is_followed_without_what_the_server_before_set() -> None:
    def answer(request: web.BaseRequest) -> web.Response:
        if request.path != "/store":
            return web.Response(status=307, headers={"Location": "/store", "Set-Cookie": "session=1"})
        return web.Response(body=BLOB)

    data, asked = fetched(answer, MANIFEST)
    assert (data, [request.path for request in asked][1:]) == (BLOB, ["/store"])
    assert asked[1].headers["Accept"] == oci.ACCEPT
    assert not {"Cookie", "Authorization", "Referer"} & set(asked[1].headers)


def test_redirects_are_counted() -> None:
    asked = []

    def circle(request: web.BaseRequest) -> web.Response:
        asked.append(request)
        return web.Response(status=302, headers={"Location": request.path})

    with pytest.raises(OriginError, match="at most 5 redirects"):
        fetched(circle)
    assert len(asked) == 1 + REDIRECTS_MAX


def test_a_busy_registry_is_asked_again_while_there_is_time() -> None:
    turns = iter((429, 503, 200))

    def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=next(turns), body=BLOB, headers={"Retry-After": "0"})

    data, asked = fetched(answer)
    assert (data, len(asked)) == (BLOB, 3)
    with pytest.raises(OriginBusy, match="asked again in 60 s") as busy:
        fetched(lambda _: web.Response(status=503, headers={"Retry-After": "60"}))
    assert busy.value.wait_s == 60
    with pytest.raises(OriginError):  # one that is always busy "for a moment"
        fetched(lambda _: web.Response(status=429, headers={"Retry-After": "0"}), timeout_s=0.5)


@pytest.mark.parametrize(
    ("headers", "error", "why"),
    [
        ({"Content-Type": "application/vnd.docker.distribution.manifest.v2+json"}, OriginError, "is it converted"),
        (
            {"Content-Type": "application/vnd.docker.distribution.manifest.list.v2+json; charset=utf-8"},
            OriginError,
            "is it converted",
        ),
        ({"Docker-Content-Digest": "sha256:" + "0" * 64}, VerificationError, "as the registry itself says"),
    ],
)
def test_manifests_that_are_another_kind_or_another_one(
    headers: dict[str, str], error: type[OriginError], why: str
) -> None:
    with pytest.raises(error, match=why):
        fetched(lambda _: web.Response(body=BLOB, headers=headers), MANIFEST)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/octet-stream", "Docker-Content-Digest": REF.digest},
        {"Docker-Content-Digest": "sha512:" + "0" * 128},  # another algorithm says nothing of this one
    ],
)
def test_what_verifies_is_taken_whatever_it_is_called(headers: dict[str, str]) -> None:
    assert fetched(lambda _: web.Response(body=BLOB, headers=headers), MANIFEST)[0] == BLOB


def test_refusals_are_quoted_in_one_line() -> None:
    said = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"OCI manifest found, but accept header\\nis not"}]}'
    with pytest.raises(OriginError, match="got 404: MANIFEST_UNKNOWN: OCI manifest found") as refused:
        fetched(lambda _: web.Response(status=404, body=said))
    assert "\n" not in str(refused.value)


# The catalogue's files.


@contextmanager
def moved(mirror: Mirror, move: Callable[[str], tuple[int, dict[str, str]] | None]) -> Iterator[None]:
    """A mirror that answers some names with a status and fields instead."""
    mirror.other = move
    yield
    mirror.other = lambda _: None


@pytest.fixture
def repository() -> Repository:
    return Repository()


@pytest.fixture
def mirror(repository: Repository) -> Iterator[Mirror]:
    with Mirror(repository).running() as running:
        yield running


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_file_of_the_catalogue_may_be_elsewhere(
    repository: Repository, mirror: Mirror, tmp_path: Path, status: int
) -> None:
    repository.rotate()
    repository.publish(record("hello"))
    with moved(mirror, lambda name: None if name.startswith("at/") else (status, {"Location": f"at/{name}"})):
        catalogue = mirror.catalogue(tmp_path)
        assert catalogue.refresh()
        assert catalogue.find_service("hello") == record("hello")
        assert not catalogue.refresh(), "the entity tag of a file that is elsewhere is asked for there"
    elsewhere = [name for name in mirror.asked() if name.startswith("at/")]
    assert {"at/timestamp.json", "at/2.root.json", "at/2.snapshot.json", "at/1.targets.json"} <= set(elsewhere)


def test_catalogue_files_that_go_round_in_circles(repository: Repository, mirror: Mirror, tmp_path: Path) -> None:
    with moved(mirror, lambda name: (307, {"Location": name})), pytest.raises(OriginError, match="at most 5 redirects"):
        mirror.catalogue(tmp_path).refresh()
    assert len(mirror.asked()) == 1 + REDIRECTS_MAX


def test_a_busy_origin_says_when_to_come_again(repository: Repository, mirror: Mirror, tmp_path: Path) -> None:
    with moved(mirror, lambda _: (429, {"Retry-After": "33"})), pytest.raises(OriginBusy) as busy:
        mirror.catalogue(tmp_path).refresh()
    assert busy.value.wait_s == 33


def test_a_pause_between_bytes_is_no_pause_for_ever() -> None:
    async def drip(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(BLOB))})
        await response.prepare(request)
        await response.write(BLOB[:3])
        await asyncio.sleep(20)
        return response

    async def fetch() -> None:
        server = await asyncio.get_running_loop().create_server(web.Server(drip), "127.0.0.1", 0)
        place = parse_place(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        store = web_sources([place], 0.3, Counters())
        try:
            await store.get(REF, Load())
        finally:
            await store.close()
            server.close()

    with pytest.raises(OriginTimeout, match="no complete answer"):
        uvloop.run(fetch())
