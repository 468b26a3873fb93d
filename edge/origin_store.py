"""What is named by digest, and the origin that has it. Who keeps some of it stands in front: see `images.DiskStore`."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

import aiohttp

from edge.counters import Counters
from vmimage.canonical import digest_of
from vmimage.errors import OriginError, OriginTimeout, OriginUnreachable, VerificationError

REPOSITORY: Final = "images"  # every image is found by digest under this one name (OCI distribution API)
_CHUNK: Final = 256 << 10  # bytes read from the origin at a time


class Ref(NamedTuple):
    """What to fetch: content named by digest. `size` is exact, or the most there may be where `exact` is false."""

    kind: Literal["manifests", "blobs"]
    digest: str
    size: int
    exact: bool = True

    def check(self, data: bytes) -> bytes:
        """`data`, verified.

        :raises VerificationError: another length or SHA-256.
        """
        if len(data) != self.size if self.exact else len(data) > self.size:
            raise VerificationError(f"{self.digest}: {self.size} bytes expected, got {len(data)}")
        if (got := digest_of(data)) != self.digest:
            raise VerificationError(f"{self.digest} expected, got {got}")
        return data


@dataclass(slots=True)
class Trip:
    """Where the time of one load went, and whether the origin was asked."""

    fetch_s: float = 0.0
    verify_s: float = 0.0
    from_origin: bool = False


class Store(Protocol):
    """Content by digest."""

    async def get(self, ref: Ref, trip: Trip) -> bytes:
        """Verified bytes.

        :raises OriginError: they cannot be had.
        """
        ...


class OriginStore:
    """An OCI registry over HTTP."""

    def __init__(self, url: str, timeout_s: float, counters: Counters) -> None:
        self._url = url.rstrip("/")
        # No sock_read: aiohttp leaves its timer running over a connection that it keeps, and the next fetch gets it.
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s / 2)
        self._session: aiohttp.ClientSession | None = None
        self._counters = counters

    async def get(self, ref: Ref, trip: Trip) -> bytes:
        """Fetch and verify; never reads more than the size that was promised.

        :raises OriginError: no answer, a wrong one, or bytes that do not verify.
        """
        trip.from_origin = True
        self._counters.origin_fetches += 1
        try:
            data = await self._fetch(ref)
            self._counters.origin_bytes += len(data)
            return ref.check(data)
        except OriginError as error:
            self._counters.add(self._counters.origin_errors, error.counter)
            raise

    async def _fetch(self, ref: Ref) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False, timeout=self._timeout)
        url = f"{self._url}/v2/{REPOSITORY}/{ref.kind}/{ref.digest}"
        try:
            async with self._session.get(url, headers={"Accept-Encoding": "identity"}) as response:
                if response.status != 200:
                    raise OriginError(f"{url}: status 200 expected, got {response.status}")
                data = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK):
                    data += chunk
                    if len(data) > ref.size:
                        raise VerificationError(f"{ref.digest}: {ref.size} bytes expected, got more")
                return bytes(data)
        except TimeoutError as error:
            raise OriginTimeout(f"{url}: no complete answer in {self._timeout.total} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise OriginUnreachable(f"{url}: {error or type(error).__name__}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
