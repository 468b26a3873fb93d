"""What is a registry shown that asks for it, and who never sees it?"""

import asyncio
import base64
import ipaddress
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from edge.common.counters import Counters
from edge.config.sources import parse_place
from edge.config.upstream_policy import UpstreamPolicy
from edge.content.blobs import Load
from edge.sources.challenges import LASTS_DEFAULT_S, LASTS_MAX_S, MARGIN, Challenge, parse_challenge, parse_token
from edge.sources.credentials import Credentials, host_of, read_credentials
from edge.sources.made import web_sources
from edge.sources.sessions import PUBLIC
from edge.sources.web import WebSource
from tests.support.sources import BLOB, REF
from vmimage.errors import OperatorError, OriginError, OriginUnreachable

PASSWORD = "Basic " + base64.b64encode(b"edge:secret").decode()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('Basic realm="x"', Challenge("basic")),
        ("basic", Challenge("basic")),
        (
            'Bearer realm="https://a.example/token",service="r.example",scope="repository:a/b:pull"',
            Challenge("bearer", "https://a.example/token", "r.example", "repository:a/b:pull"),
        ),
        ('bearer  realm="http://a/t?x=1" , service=r', Challenge("bearer", "http://a/t?x=1", "r")),
        ('Bearer service="a \\"b\\"",realm="http://a/t"', Challenge("bearer", "http://a/t", 'a "b"')),
        ('Bearer realm="http://a/t",realm="http://b/t"', Challenge("bearer", "http://a/t")),
        *(
            (field, None)
            for field in (
                *("", "Negotiate", "Bearer", "Bearer realm", 'Bearer realm=""', 'Bearer realm="file:///etc/passwd"'),
                *('Bearer realm="http://user@a/t"', 'Bearer realm="//a/t"', "Bearer " + "x=" * 9000),
            )
        ),
    ],
)
def test_challenges(field: str, expected: Challenge | None) -> None:
    assert parse_challenge(field) == expected


@pytest.mark.parametrize(
    ("answer", "serves_s"),
    [
        ({"token": "a.b-c"}, LASTS_DEFAULT_S),
        ({"access_token": "abc=", "expires_in": 300}, 300),
        ({"token": "abc", "expires_in": 1e9}, LASTS_MAX_S),
        ({"token": "abc", "expires_in": -1}, LASTS_DEFAULT_S),
        ({"token": "abc", "expires_in": True}, LASTS_DEFAULT_S),
        ({"token": "abc", "expires_in": "soon"}, LASTS_DEFAULT_S),
    ],
)
def test_tokens_serve_until_shortly_before_their_end(answer: dict[str, object], serves_s: float) -> None:
    assert parse_token(json.dumps(answer).encode()).serves_s == serves_s * (1 - MARGIN)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": ""}', b'{"token": "a\\r\\nX: y"}', b'{"token": 7.5e3}x', b"[" * 99999]
)
def test_answers_without_a_token(body: bytes) -> None:
    with pytest.raises(OriginError, match="a token expected"):
        parse_token(body)


def test_credentials_are_read_by_host(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    auth = PASSWORD.removeprefix("Basic ")
    entries = {"r.example:5000": {"auth": auth}, "https://d.example/v1/": {"username": "edge", "password": "secret"}}
    path.write_text(json.dumps({"auths": {**entries, "empty": {}}, "credsStore": "x"}))
    path.chmod(0o600)
    assert read_credentials(str(path)) == {"r.example:5000": PASSWORD, "d.example": PASSWORD}
    assert read_credentials("") == {}
    path.chmod(0o640)
    with pytest.raises(OperatorError, match="mode 0600"):
        read_credentials(str(path))
    path.chmod(0o600)
    for text in ("", "[]", '{"auths": {"r": {"auth": "no colon"}}}', '{"auths": {"r": {"identitytoken": "x"}}}'):
        path.write_text(text)
        with pytest.raises(OperatorError, match="registry_auth"):
            read_credentials(str(path))
    assert host_of("http://[::1]:5000/x") == "[::1]:5000"


class Registry:
    """A registry, who gives its tokens, and a store that it sends readers to: three servers."""

    def __init__(self, *, scheme: str = "Bearer", redirects: bool = False, elsewhere: str = "127.0.0.1") -> None:
        """:param elsewhere: address of the latter two."""
        self.scheme, self.redirects, self.elsewhere = scheme, redirects, elsewhere
        self.seen: list[tuple[str, str]] = []  # who was asked, and with which Authorization
        self.good = {"Bearer one"}
        self.tokens = iter(("one", "two", "three"))
        self.urls: dict[str, str] = {}

    async def run(self, work: Callable[["Registry"], Awaitable[None]]) -> None:
        runners = []
        for name, handler in (("registry", self.registry), ("tokens", self.give), ("store", self.store)):
            runner = web.ServerRunner(web.Server(self._noting(name, handler)))
            await runner.setup()
            address = "127.0.0.1" if name == "registry" else self.elsewhere
            await web.TCPSite(runner, address, 0).start()
            self.urls[name] = f"http://{address}:{runner.addresses[0][1]}"
            runners.append(runner)
        try:
            await work(self)
        finally:
            for runner in runners:
                await runner.cleanup()

    def _noting(
        self, name: str, handler: Callable[[web.BaseRequest], web.Response]
    ) -> Callable[..., Awaitable[web.Response]]:
        async def noting(request: web.BaseRequest) -> web.Response:
            self.seen.append((name, request.headers.get("Authorization", "")))
            return handler(request)

        return noting

    def registry(self, request: web.BaseRequest) -> web.Response:
        shown = request.headers.get("Authorization", "")
        if self.scheme == "Basic" and shown != PASSWORD:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        if self.scheme == "Bearer" and shown not in self.good:
            asks = f'Bearer realm="{self.urls["tokens"]}/t",service="r",scope="repository:a:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": asks})
        if self.redirects:
            return web.Response(status=307, headers={"Location": self.urls["store"] + "/presigned?sig=1"})
        return web.Response(body=BLOB)

    def give(self, request: web.BaseRequest) -> web.Response:
        assert dict(request.query) == {"service": "r", "scope": "repository:a:pull"}
        return web.json_response({"token": next(self.tokens), "expires_in": 300})

    def store(self, _: web.BaseRequest) -> web.Response:
        return web.Response(body=BLOB)

    def source(self) -> str:
        return f"oci+{self.urls['registry']}/a"

    def fetched(self, times: int, *with_password: str) -> list[tuple[str, str]]:
        """What was asked of whom for so many blobs, of an edge that has a password for these."""

        async def work(registry: Registry) -> None:
            credentials = {host_of(self.urls[name]): PASSWORD for name in with_password}
            sources = web_sources([parse_place(self.source())], 5.0, Counters(), credentials)
            try:
                for _ in range(times):
                    assert await sources.get(REF, Load()) == BLOB
            finally:
                await sources.close()

        asyncio.run(self.run(work))
        return self.seen


def test_a_token_is_fetched_once_and_shown_with_each_request() -> None:
    assert Registry().fetched(3, "registry") == [
        ("registry", ""),
        ("tokens", ""),  # the registry's password is not for who gives tokens elsewhere
        *[("registry", "Bearer one")] * 3,
    ]


def test_who_gives_tokens_is_shown_a_password_of_its_own() -> None:
    assert Registry().fetched(1, "tokens") == [("registry", ""), ("tokens", PASSWORD), ("registry", "Bearer one")]


def test_a_token_that_serves_no_more_is_fetched_anew() -> None:
    registry = Registry()
    registry.good = {"Bearer two"}
    with pytest.raises(OriginError, match="401"):
        registry.fetched(1)
    assert registry.seen == [("registry", ""), ("tokens", ""), ("registry", "Bearer one")], "and asked for once a fetch"


def test_a_registry_that_wants_a_password() -> None:
    assert Registry(scheme="Basic").fetched(2, "registry") == [("registry", ""), *[("registry", PASSWORD)] * 2]
    with pytest.raises(OriginError, match="401"):
        Registry(scheme="Basic").fetched(1, "store", "tokens")


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_nothing_is_shown_where_a_registry_sends_readers(scheme: str) -> None:
    seen = Registry(scheme=scheme, redirects=True).fetched(2, "registry", "store", "tokens")
    assert [shown for name, shown in seen if name == "store"] == ["", ""]
    assert [shown for name, shown in seen if name == "registry"][1:] == [
        PASSWORD if scheme == "Basic" else "Bearer one"
    ] * 2


ONE: Final = UpstreamPolicy(public=False, networks=[ipaddress.ip_network("127.0.0.1/32")])  # stands for the internet


async def _asked(registry: Registry, public: UpstreamPolicy, credentials: Credentials) -> bytes:
    source = WebSource(parse_place(registry.source()), 5.0, credentials, public=public)
    try:
        opened = await source.open(REF, 0, 5.0)
        return b"".join([chunk async for chunk in opened.chunks])
    finally:
        await source.close()


@pytest.mark.parametrize(("scheme", "redirects"), [("Bearer", False), ("none", True)], ids=["realm", "redirect"])
@pytest.mark.parametrize("public", [PUBLIC, ONE], ids=["inner registry", "public registry"])
def test_a_registry_on_the_internet_sends_an_edge_to_no_address_within(
    public: UpstreamPolicy, scheme: str, redirects: bool
) -> None:
    """127.0.0.2 is within; the registry's own 127.0.0.1 is, too, or stands for a public address."""
    registry = Registry(scheme=scheme, redirects=redirects, elsewhere="127.0.0.2")

    async def work(registry: Registry) -> None:
        if public is PUBLIC:
            assert await _asked(registry, public, {}) == BLOB
        else:
            with pytest.raises(OriginUnreachable, match=r"a public address expected.*127\.0\.0\.2"):
                await _asked(registry, public, {})

    asyncio.run(registry.run(work))
    assert {name for name, _ in registry.seen} - {"registry"} == (
        set() if public is ONE else {"store"} if redirects else {"tokens"}
    )


def test_who_gives_tokens_within_may_be_named_by_the_operator() -> None:
    registry = Registry(elsewhere="127.0.0.2")

    async def work(registry: Registry) -> None:
        assert await _asked(registry, ONE, {host_of(registry.urls["tokens"]): PASSWORD}) == BLOB

    asyncio.run(registry.run(work))
    assert ("tokens", PASSWORD) in registry.seen
