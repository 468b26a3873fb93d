"""Images without machines: real manifests over any bytes, for what looks no further than digests; and an origin to hold
them, its server on a thread of the test's own process."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tuf.api.metadata import Root

from origin.keys import generate, load_metadata, load_signer, load_trust
from origin.model.exchange import Request, Response
from origin.model.publication import Publication
from origin.model.tokens import Tokens
from origin.publish.client import carry_out
from origin.registry.logs import Logs
from origin.registry.oidc import Verifier
from origin.registry.roles import Online
from origin.registry.server import Origin, serve
from origin.registry.store import Store
from vmimage import abi
from vmimage.archive import ImageBundle
from vmimage.manifest import SNAPSHOT_TYPE, SYMBOLS_TYPE, Blob, ImageManifest, Limits, Region, digest_of
from vmimage.trust import Trust

TOKEN = "a-token-for-tests-only"
NOW = datetime.now(UTC)


def image(name: str = "hello", *, base: ImageManifest | None = None, content: bytes | None = None) -> ImageBundle:
    """An image whose blobs are `content` and symbols that say so; equal arguments give equal images."""
    snapshot = content if content is not None else hashlib.sha256(name.encode()).digest() * 8
    symbols = b"symbols of " + name.encode()
    manifest = ImageManifest(
        name=name,
        abi=abi.ABI_VERSION,
        kind="derived" if base else "base",
        base=base.digest if base else None,
        memory_bytes=abi.MEMORY_DEFAULT,
        regions=(Region(0x10000, 0x11000, "r"), Region(0x100000, 0x104000, "rx"), Region(0x200000, 0x2000000, "rw")),
        snapshot=Blob(SNAPSHOT_TYPE, digest_of(snapshot), len(snapshot)),
        snapshot_bytes=3 * abi.PAGE_SIZE + 1024,
        page_count=3,
        pages_digest=digest_of(b"pages of " + name.encode()),
        symbols=Blob(SYMBOLS_TYPE, digest_of(symbols), len(symbols)),
        limits=Limits(cpu_ms=100),
    )
    return ImageBundle(manifest, {digest_of(snapshot): snapshot, digest_of(symbols): symbols})


BASE = image("base")


def publication(service: str, *hosts: str, content: bytes = b"") -> Publication:
    """A service with an image of its own, derived from BASE; other `content` makes another image."""
    derived = image("guest", base=BASE.manifest, content=service.encode() + b" " + content)
    return Publication((BASE, derived), derived.manifest.digest, service, hosts)


class Keys:
    """A key folder and what is read from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.exists():
            generate(folder, NOW)
        self.trust: Trust = load_trust(folder)
        self.metadata = load_metadata(folder)
        self.publisher = load_signer(folder, "publisher")
        self.online = Online(load_signer(folder, "snapshot"), load_signer(folder, "timestamp"))

    @property
    def root(self) -> bytes:
        return self.metadata["1.root.json"]

    @classmethod
    def of(cls, folder: Path) -> "Keys":
        """One that is there, as it is now."""
        return cls(folder)


def send(url: str, request: Request) -> Response:
    """One request with the token, and its answer: for exchanges that are walked step by step."""

    def exchange() -> Generator[Sequence[Request], Sequence[Response], Response]:
        [response] = yield [request]
        return response

    return carry_out(exchange(), url=url, token=TOKEN)


@contextmanager
def running_origin(
    store: Store,
    keys: Keys,
    *,
    token: str | None = TOKEN,
    tokens: Tokens | None = None,
    logs: Logs | None = None,
    online: Callable[[Root], Online] | None = None,
    now: datetime | None = None,
    verifier: Verifier | None = None,
) -> Iterator[str]:
    """An origin on loopback; the value is its URL.

    :param now: what its clock says, where it stands still.
    """
    clock = (lambda: datetime.now(UTC)) if now is None else (lambda: now)
    signers = online or keys.online

    def make() -> Origin:
        return Origin(
            store, keys.metadata, signers, token=token, tokens=tokens, logs=logs, verifier=verifier, clock=clock
        )

    with served_in_thread(make) as url:
        yield url


@contextmanager
def served_in_thread(make: Callable[[], Origin]) -> Iterator[str]:
    """An origin on loopback, made and served in a thread of its own with a loop; the value is its URL."""
    url: list[str] = []
    up = threading.Event()
    handles: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    failures: list[BaseException] = []

    def ready(at: str) -> None:
        url.append(at)
        up.set()

    async def main() -> None:
        stop = asyncio.Event()
        handles.append((asyncio.get_running_loop(), stop))
        await serve(make(), "127.0.0.1", 0, ready, stop)

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            failures.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=run)
    thread.start()
    up.wait()
    try:
        if failures:
            raise failures[0]
        yield url[0]
    finally:
        if handles and thread.is_alive():
            loop, stop = handles[0]
            loop.call_soon_threadsafe(stop.set)
        thread.join()
