"""Content by digest from an OCI registry, as a client of the distribution specification 1.1 fetches it.

Manifests are asked for by what they may be (Accept), redirects are followed as `edge.common.fetching` allows, and what
comes is verified before anybody else sees it. A registry that is busy is asked again while there is time.
"""

import asyncio
import hashlib
import time
from typing import Final

import aiohttp

from edge.common import fetching
from edge.common.counters import Counters
from edge.content.blobs import Load, Ref
from vmimage import oci
from vmimage.errors import OriginError, OriginTimeout, OriginUnreachable, VerificationError
from vmimage.manifest import MANIFEST_TYPE, REPOSITORY

_CHUNK: Final = 256 << 10  # bytes read from the origin at a time

Body = tuple[bytes, str]  # with its digest


class OriginStore:
    """An OCI registry over HTTP."""

    def __init__(self, url: str, timeout_s: float, counters: Counters) -> None:
        """:param timeout_s: for one blob with all redirects and pauses."""
        self._url = url.rstrip("/")
        # No sock_read: aiohttp leaves its timer running over a connection that it keeps, and the next fetch gets it.
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s / 2)
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._counters = counters

    async def get(self, ref: Ref, load: Load) -> bytes:
        """Fetch and verify; never reads more than the size that was promised.

        :raises OriginError: no answer, a wrong one, or bytes that do not verify.
        """
        load.from_origin = True
        self._counters.origin_fetches += 1
        try:
            data, digest = await self._fetch(ref)
            self._counters.origin_bytes += len(data)
            return ref.check(data, digest)
        except OriginError as error:
            self._counters.add(self._counters.origin_errors, error.counter)
            raise

    async def _fetch(self, ref: Ref) -> Body:
        url = f"{self._url}/v2/{REPOSITORY}/{ref.kind}/{ref.digest}"
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url, ref)
        except TimeoutError as error:
            raise OriginTimeout(f"{url}: no complete answer in {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a URL that is none
            raise OriginUnreachable(f"{url}: {error or type(error).__name__}") from error

    async def _follow(self, url: str, ref: Ref) -> Body:
        if self._session is None:
            jar = aiohttp.DummyCookieJar()  # what one server sets is nothing to show to another
            self._session = aiohttp.ClientSession(auto_decompress=False, timeout=self._timeout, cookie_jar=jar)
        headers = {"Accept-Encoding": "identity", "Accept": oci.ACCEPT if ref.kind == "manifests" else "*/*"}
        give_up, hops = asyncio.get_running_loop().time() + self._timeout_s, 0
        while True:
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                match fetching.meaning(url, response.status, response.headers, hops, time.time()):
                    case fetching.Content():
                        return await _body(response, ref)
                    case fetching.Moved(target):
                        url, hops, wait_s = target, hops + 1, 0.0
                    case fetching.Later(wait_s):
                        if asyncio.get_running_loop().time() + wait_s >= give_up:
                            raise fetching.busy(url, response.status, wait_s)
                    case fetching.Refused():
                        said = await response.content.read(fetching.REASON_BYTES)
                        raise fetching.refusal(url, response.status, response.headers, said)
            await asyncio.sleep(wait_s)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


async def _body(response: aiohttp.ClientResponse, ref: Ref) -> Body:
    """Bytes and their digest, computed as they come: to hash a large blob is a long turn of the event loop.

    :raises OriginError: content of another kind, or more than was promised.
    """
    _check_head(response, ref)
    data, sha = bytearray(), hashlib.sha256()
    async for chunk in response.content.iter_chunked(_CHUNK):
        data += chunk
        sha.update(chunk)
        if len(data) > ref.size:
            raise VerificationError(f"{ref.digest}: {ref.size} bytes expected, got more")
    return bytes(data), f"sha256:{sha.hexdigest()}"


def _check_head(response: aiohttp.ClientResponse, ref: Ref) -> None:
    type_ = oci.media_type(response.headers.get("Content-Type", ""))
    if ref.kind == "manifests" and type_ in oci.DOCKER_TYPES:
        raise OriginError(f"{ref.digest}: a manifest of {MANIFEST_TYPE} expected, got one of {type_}: is it converted?")
    claimed = response.headers.get("Docker-Content-Digest", ref.digest)
    if claimed.startswith("sha256:") and claimed != ref.digest:
        raise VerificationError(f"{ref.digest} expected, got {claimed[:80]} as the registry itself says")
