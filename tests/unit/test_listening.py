"""Where edges and origins listen: addresses of both families, Unix sockets, and each way in which that can fail."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from edge.config.listeners import PUBLIC_MODE, Listener
from edge.config.options import load_config
from edge.front.listening import bind
from origin.registry.listening import SOCKET_MODE, listen, parse_listen, unlisten
from vmimage.errors import OperatorError

GIVEN = {"origin": "http://origin.example", "trust": "root.json", "cache": "cache"}
BUSY = socket.create_server(("127.0.0.1", 0))
HAS_IPV6 = Path("/proc/net/if_inet6").exists()
At = Path | tuple[str, int]
Listen = Callable[[At], Awaitable[str]]


async def edges(at: At) -> str:
    """Where an edge listens then; it is closed again."""
    bound = await bind(lambda _: asyncio.Protocol(), Listener("", at), "listen", 16)
    bound.close()
    assert bound.port != 0
    assert (not bound.listeners) == isinstance(at, Path)
    return bound.where


async def origins(at: At) -> str:
    """The same of an origin."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    host, port = at if isinstance(at, tuple) else (at, 0)
    try:
        return await listen(runner, host, port)
    finally:
        await runner.cleanup()


BOTH = pytest.mark.parametrize("listening", [edges, origins])


def where(listening: Listen, at: At) -> str:
    async def run() -> str:
        return await listening(at)

    return uvloop.run(run())


@BOTH
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "*", "::1", "::"])
def test_addresses(listening: Listen, host: str) -> None:
    if ":" in host and not HAS_IPV6:
        pytest.skip("IPV6 IS NOT TESTED HERE: this machine has none")
    url = where(listening, (host, 0))
    assert url.startswith(f"http://[{host}]:" if ":" in host else "http://")
    assert int(url.rpartition(":")[2]) > 0


@BOTH
def test_an_address_with_a_zone(listening: Listen) -> None:
    lines = Path("/proc/net/if_inet6").read_text().splitlines() if HAS_IPV6 else []
    local = [line.split() for line in lines if line.startswith("fe80")]
    if not local:
        pytest.skip("ZONES ARE NOT TESTED HERE: no interface has a link-local address")
    address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(local[0][0]))
    assert where(listening, (f"{address}%{local[0][-1]}", 0)).startswith("http://[fe80")


@BOTH
@pytest.mark.parametrize(
    ("at", "why"),
    [
        (BUSY.getsockname(), "Address already in use"),
        (("192.0.2.1", 0), "Cannot assign requested address"),
        (("nowhere.invalid", 80), "nowhere.invalid:80: "),
        (("fe80::1%nowhere", 80), "fe80::1%nowhere"),
        (Path("/nonexistent/a.sock"), "unix:/nonexistent/a.sock: No such file or directory"),
        (Path("/proc/a.sock"), "unix:/proc/a.sock: "),
        (Path("/tmp") / ("n" * 120), "octets expected"),
    ],
)
def test_places_that_are_none(listening: Listen, at: At, why: str) -> None:
    with pytest.raises(OperatorError) as refused:
        where(listening, at)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@BOTH
def test_unix_sockets(listening: Listen, tmp_path: Path) -> None:
    at = tmp_path / "a.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(at))  # as one that was killed leaves it
    os.chmod(at, 0o600)
    assert where(listening, at) == f"unix:{at}"
    assert at.stat().st_mode & 0o777 == PUBLIC_MODE == SOCKET_MODE
    unlisten(at)
    with socket.socket(socket.AF_UNIX) as used:
        used.bind(str(at))
        used.listen()
        with pytest.raises(OperatorError, match="another process listens there"):
            where(listening, at)
    at.unlink()
    at.write_bytes(b"precious")
    with pytest.raises(OperatorError, match="found another file"):
        where(listening, at)
    assert at.read_bytes() == b"precious"


@BOTH
def test_low_ports(listening: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says to users without the capability."""

    async def denied() -> str:
        def refuse(*_: object, **__: object) -> object:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(asyncio.get_running_loop(), "create_server", refuse)
        return await listening(("127.0.0.1", 80))

    with pytest.raises(OperatorError, match="Permission denied: ports below 1024 need CAP_NET_BIND_SERVICE"):
        asyncio.run(denied())


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:8080", ("::1", 8080)),
        ("[fe80::1%eth0]:0", ("fe80::1%eth0", 0)),
        ("*:80", ("*", 80)),
        ("localhost:65535", ("localhost", 65535)),
        ("unix:a.sock", Path("a.sock")),
        ("unix:/run/a:b.sock", Path("/run/a:b.sock")),
        *((bad, None) for bad in ("", ":80", "::1:80", "[::1:80", "::1]:80", "[]:80", "x:65536", "x:-1", "x:", "x")),
        *((bad, None) for bad in ("unix:", "unix:/run/", "[127.0.0.1]:80", "a/b:80", "x:8\u0660")),
    ],
)
def test_both_read_the_same_options(text: str, parsed: At | None) -> None:
    def of_an_edge() -> At:
        (found,) = load_config(None, GIVEN | {"listen": text}).listeners
        assert found.at is not None
        return found.at

    def of_an_origin() -> At:
        host, port = parse_listen(text)
        return host if isinstance(host, Path) else (host, port)

    for read in (of_an_edge, of_an_origin):
        if parsed is None:
            with pytest.raises(OperatorError, match="listen: "):
                read()
        else:
            assert read() == parsed


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "http://",
        "http://[::1",
        "http://x:port",
        "http://x:0",
        "http://x:99999",
        "http://u:p@x",
        "http://x?q",
    ],
)
def test_origins_that_are_none(url: str) -> None:
    with pytest.raises(OperatorError, match=r"^--origin: "):
        load_config(None, GIVEN | {"origin": url})


@pytest.mark.parametrize("url", ["http://x", "https://x:8443/path", "http://[::1]:80/", "http://127.0.0.1:8700"])
def test_origins(url: str) -> None:
    assert load_config(None, GIVEN | {"origin": url}).origin == url
