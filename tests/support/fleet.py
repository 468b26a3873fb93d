"""An origin with a feed on loopback, in a thread of its own; and what edges and operators ask of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import urllib3

from origin.fleet.feed import OriginFeed
from origin.fleet.pages import join_fleet
from origin.model.tokens import TOKENS_FILE, Tokens, add
from origin.registry.server import Origin
from origin.registry.store import Store
from origin.storage.blobs import BlobStore
from origin.storage.memory import Memory
from tests.support.synthetic import TOKEN, Keys, served_in_thread


@dataclass
class FleetOrigin:
    """One that runs."""

    url: str
    feed: OriginFeed
    site: Origin
    keys: Keys

    def token(self, edge: str, pop: str = "", weight: float = 1.0) -> str:
        """A new one of an edge."""
        return add(self.keys.folder / TOKENS_FILE, "edge", edge, datetime.now(UTC), pop, weight)[1]

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
    keys, store, tokens = Keys(folder / "keys"), Store(folder / "store"), Tokens(folder / "keys" / TOKENS_FILE)
    made: list[tuple[OriginFeed, Origin]] = []

    def make() -> Origin:
        site = Origin(store, keys.metadata, keys.online, token=TOKEN, tokens=tokens)
        made.append((join_fleet(site, blobs or Memory(), tokens), site))
        return site

    try:
        with served_in_thread(make) as url:
            [(feed, site)] = made
            yield FleetOrigin(url, feed, site, keys)
    finally:
        store.close()
