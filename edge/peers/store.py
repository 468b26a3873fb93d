"""Content by digest from its owners in the POP, before other sources are asked.

All edges of a POP ask the same owner for a digest, and the owner asks the sources once: `Collapsed` joins those who ask
for the same at the same time. An owner that is dead, or has not got it, costs one question more and no error. What
comes is verified here, as what comes from anybody is: of a peer that lies nothing is kept, and it counts as a failure.
"""

import asyncio
from typing import Final

from edge.common.counters import Counters
from edge.common.single_flight import SingleFlight
from edge.common.tasks import Tasks
from edge.content.blobs import Load, Ref, Store
from edge.peers.asking import Asked, Asking
from edge.peers.link import Link
from vmimage.errors import PeerFailed, VerificationError
from vmimage.manifest import REPOSITORY

PATH: Final = f"/v2/{REPOSITORY}/"
RECENT_S: Final = 2.0
RECENT_BYTES: Final = 32 << 20
SIZE: Final = b"x-nunatak-size"  # of a request: what the content has at most, and whether it is exactly that


class Collapsed:
    """A store that is asked once for what several want at the same time.

    What came is remembered for a moment: who looked at the disk just before it was there asks only now.
    """

    def __init__(self, inner: Store, tasks: Tasks) -> None:
        self._inner = inner
        self._under_way: SingleFlight[str, bytes] = SingleFlight(tasks, "shared fetch")
        self._recent: dict[str, bytes] = {}
        self._recent_bytes = 0

    async def get(self, ref: Ref, load: Load) -> bytes:
        """:raises OriginError: as the inner store does, or for another who asked with another size."""
        recent = self._recent.get(ref.digest)
        if recent is not None:
            return ref.check(recent, ref.digest)
        load.from_origin = True
        return ref.check(await self._under_way.do(ref.digest, lambda: self._fetch(ref, load)), ref.digest)

    async def _fetch(self, ref: Ref, load: Load) -> bytes:
        """:param load: of whoever asked first."""
        data = await self._inner.get(ref, load)
        if self._recent_bytes + len(data) <= RECENT_BYTES:
            self._recent[ref.digest] = data
            self._recent_bytes += len(data)
            asyncio.get_running_loop().call_later(RECENT_S, self._forget, ref.digest)
        return data

    def _forget(self, digest: str) -> None:
        self._recent_bytes -= len(self._recent.pop(digest))


class PeerStore:
    """Owners first, then the inner store."""

    def __init__(self, asking: Asking, inner: Store, timeout_s: float, counters: Counters) -> None:
        """:param timeout_s: for one blob, as sources have it: an owner may have to fetch it first."""
        self._asking, self._inner, self._timeout_s, self._counters = asking, inner, timeout_s, counters

    async def get(self, ref: Ref, load: Load) -> bytes:
        """Verified bytes. For a peer nobody is asked but the sources, so that no two peers ask each other.

        :raises OriginError: as the inner store does.
        """
        members, left_s = self._asking.members, self._timeout_s
        if not (load.for_peer or not members.here):
            for owner in members.owners.of(ref.digest.encode()):
                if owner == members.here:
                    break
                asked = self._asking.of(owner)
                left_s /= 2  # the others, and the sources, get their time, too
                if asked is not None and (data := await self._from(asked, ref, left_s)) is not None:
                    load.from_peer = True
                    return data
        return await self._inner.get(ref, load)

    async def _from(self, asked: Asked, ref: Ref, timeout_s: float) -> bytes | None:
        """What an owner has of it, verified; None for nothing."""
        try:
            link = await asked.link()
        except PeerFailed:
            return self._nothing("unreachable")
        try:
            async with asyncio.timeout(timeout_s):
                data = await _fetched(link, ref)
        except (PeerFailed, TimeoutError):
            asked.failed()
            link.close()
            return self._nothing("broken")
        finally:
            asked.give(link)
        if data is None:
            asked.answered()
            return self._nothing("absent")
        try:
            ref.check(data)
        except VerificationError:
            asked.failed()
            return self._nothing("wrong")
        asked.answered()
        self._counters.add(self._counters.peer_fetches, "found")
        return data

    def _nothing(self, outcome: str) -> bytes | None:
        self._counters.add(self._counters.peer_fetches, outcome)
        return None


async def _fetched(link: Link, ref: Ref) -> bytes | None:
    """The bytes that a peer gives, no more than there may be; None where it gives none.

    :raises PeerFailed: it breaks off.
    """
    exact = b"exact" if ref.exact else b"most"
    path = f"{PATH}{ref.kind}/{ref.digest}".encode()
    link.begin(b"GET %b HTTP/1.1\r\nHost: peer\r\n%b: %d %b\r\n\r\n" % (path, SIZE, ref.size, exact), bodiless=False)
    await link.head()
    data = bytearray()
    while (part := await link.part()) is not None:
        data += part
        if len(data) > ref.size:
            raise PeerFailed(f"{ref.digest}: at most {ref.size} bytes expected")
    return bytes(data) if link.status == 200 else None
