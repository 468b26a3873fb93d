"""An origin with a feed on loopback, in a thread of its own; and what edges and operators ask of it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import urllib3

from origin.fleet.feed import OriginFeed
from origin.fleet.pages import join_fleet
from origin.model.tokens import TOKENS_FILE, Tokens, add
from origin.registry.server import Origin, serve
from origin.registry.store import Store
from origin.storage.blobs import BlobStore
from origin.storage.memory import Memory
from tests.support.synthetic import TOKEN, Keys


@dataclass
class FleetOrigin:
    """One that runs."""

    url: str
    feed: OriginFeed
    site: Origin
    keys: Keys

    def token(self, edge: str, pop: str = "") -> str:
        """A new one of an edge."""
        return add(self.keys.folder / TOKENS_FILE, "edge", edge, datetime.now(UTC), pop)[1]

    def tenant_token(self, tenant: str) -> str:
        """A new one of a tenant."""
        return add(self.keys.folder / TOKENS_FILE, "tenant", tenant, datetime.now(UTC))[1]

    def ask(self, method: str, path: str, body: bytes = b"", token: str = TOKEN) -> urllib3.BaseHTTPResponse:
        """One request, with the operator's token if no other is named."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return urllib3.request(method, self.url + path, body=body or None, headers=headers, retries=False, timeout=20)


@contextmanager
def fleet_origin(folder: Path, blobs: BlobStore | None = None) -> Iterator[FleetOrigin]:
    """It stands on its keys and its store in `folder`, and on `blobs` for its events."""
    keys, store = Keys(folder / "keys"), Store(folder / "store")
    up, found, failures = threading.Event(), list[FleetOrigin](), list[BaseException]()
    handles: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        handles.append((asyncio.get_running_loop(), stop))
        tokens = Tokens(keys.folder / TOKENS_FILE)
        site = Origin(store, keys.metadata, keys.online, token=TOKEN, tokens=tokens)
        feed = join_fleet(site, blobs or Memory(), tokens)

        def ready(url: str) -> None:
            found.append(FleetOrigin(url, feed, site, keys))
            up.set()

        await serve(site, "127.0.0.1", 0, ready, stop)

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
        yield found[0]
    finally:
        for loop, stop in handles:
            if not loop.is_closed():
                loop.call_soon_threadsafe(stop.set)
        thread.join()
        store.close()
