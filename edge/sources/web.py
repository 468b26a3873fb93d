"""A source over HTTP: an origin, a parent, an OCI registry, or files of a bucket; as `edge.config.sources` names it.

Manifests are asked for by what they may be (Accept), redirects are followed as `edge.common.fetching` allows, a
registry that wants a token is shown one (`edge.sources.tokens`), on its own host and nowhere else. Which addresses a
source may send an edge to is `edge.sources.sessions`'.
"""

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

import aiohttp

from edge.common import fetching
from edge.config.sources import Place
from edge.config.upstream_policy import UpstreamPolicy
from edge.content.blobs import Ref
from edge.sources.challenges import parse_challenge
from edge.sources.credentials import Credentials, host_of
from edge.sources.early import connect
from edge.sources.sessions import PUBLIC, Sessions
from edge.sources.source import Opened
from edge.sources.tokens import Tokens
from vmimage import oci
from vmimage.errors import OriginError, OriginTimeout, OriginUnreachable, VerificationError
from vmimage.manifest import MANIFEST_TYPE

CHUNK: Final = 256 << 10  # bytes read at a time
STATUS_MAX: Final = 512  # characters of what a source's caches say of themselves
_RANGE: Final = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15}|\*)", re.ASCII)


class WebSource:
    """One of an edge's configuration."""

    def __init__(
        self,
        place: Place,
        timeout_s: float,
        credentials: Credentials | None = None,
        headers: Callable[[], Mapping[str, str]] = dict,
        public: UpstreamPolicy = PUBLIC,
    ) -> None:
        """:param timeout_s: for one blob; half of it is for a connection. :param headers: those of a request.
        :param public: see `Sessions`.
        """
        self.name: Final = place.text
        self._place, self._host, self._headers = place, host_of(place.base), headers
        # No sock_read: aiohttp leaves its timer running over a connection that it keeps, and the next fetch gets it.
        self._sessions = Sessions(aiohttp.ClientTimeout(total=None, sock_connect=timeout_s / 2), public)
        self._tokens = Tokens(credentials or {}, self._host)

    async def open(self, ref: Ref, first: int, give_up_s: float) -> Opened:
        """See `BlobSource`."""
        url = self._place.content_url(ref.kind, ref.digest)
        headers = {"Accept": oci.ACCEPT if ref.kind == "manifests" else "*/*"}
        response = await self._asked(url, headers | ({"Range": f"bytes={first}-"} if first else {}))
        try:
            _check_head(response, ref)
            begins, size = _extent(response, first)
        except OriginError:
            response.close()
            raise
        said = response.headers.get("Cache-Status", "")[:STATUS_MAX]
        return Opened(begins, size, _chunks(url, response), response.close, said)

    async def metadata(self, name: str, etag: str | None, most: int) -> tuple[bytes | None, str | None]:
        """A file of the catalogue and its entity tag; None for the file when it still has `etag`.

        :param most: bytes that it may have.
        :raises OriginError: as `open`; VerificationError where it has more.
        """
        url, body = self._place.metadata_url + name, bytearray()
        response = await self._asked(url, {"Accept": "*/*"} | ({"If-None-Match": etag} if etag else {}))
        try:
            if response.status == 304:
                return None, etag
            async for chunk in _chunks(url, response):
                body += chunk
                if len(body) > most:
                    raise VerificationError(f"{url}: at most {most} bytes expected, got more")
        finally:
            response.close()
        return bytes(body), response.headers.get("ETag")

    async def connect(self, count: int) -> None:
        """See `Early`."""
        await connect(self._sessions.home(), self._place.base, count)

    def show(self, credentials: Credentials) -> None:
        """Go by other credentials from the next request for a token on."""
        self._tokens = Tokens(credentials, self._host)

    async def close(self) -> None:
        """Close the connections."""
        await self._sessions.close()

    async def _asked(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """As `_answer`, with errors of ours."""
        try:
            return await self._answer(url, {"Accept-Encoding": "identity", **self._headers(), **headers})
        except TimeoutError as error:
            raise OriginTimeout(f"{url}: an answer expected, none in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a URL that is none
            raise OriginUnreachable(f"{url}: {str(error) or type(error).__name__}") from error

    async def _answer(self, url: str, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """The answer with content at the end of all redirects, or that there is nothing new.

        :raises OriginError: there is none.
        """
        expected = {206} if "Range" in headers else {304} if "If-None-Match" in headers else set[int]()
        hops, shown = 0, False
        authorization = self._tokens.kept()
        while True:
            own = host_of(url) == self._host
            said = {"Authorization": authorization} if own and authorization else {}
            session = self._sessions.home() if own else self._sessions.abroad()
            response = await session.get(url, headers={**headers, **said}, allow_redirects=False)
            try:
                if response.status in expected:
                    return response
                match fetching.meaning(url, response.status, response.headers, hops, time.time()):
                    case fetching.Content():
                        return response
                    case fetching.Moved(target):
                        response.release()
                        url, hops = target, hops + 1
                        continue
                    case fetching.Later(wait_s):
                        raise fetching.busy(url, response.status, wait_s)
                    case fetching.Refused():
                        if not shown and own and (opens := await self._opens(response, authorization)):
                            authorization, shown = opens, True
                            response.release()
                            continue
                        body = await response.content.read(fetching.REASON_BYTES)
                        raise fetching.refusal(url, response.status, response.headers, body)
            except BaseException:
                response.close()
                raise

    async def _opens(self, response: aiohttp.ClientResponse, shown: str) -> str:
        """The field that opens the door which was closed; empty where there is none."""
        challenge = parse_challenge(response.headers.get("WWW-Authenticate", "")) if response.status == 401 else None
        if challenge is None:
            return ""
        return await self._tokens.answer(self._sessions, challenge, self._place.base, shown)


def _extent(response: aiohttp.ClientResponse, first: int) -> tuple[int, int | None]:
    """With which byte the body begins, and how many the whole has, where the answer says it.

    :raises OriginError: another part than was asked for.
    """
    if response.status == 200:
        return 0, response.content_length
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != first:
        got = response.headers.get("Content-Range", "")
        raise OriginError(f"{response.url}: bytes from {first} on expected with status 206, got {got!r:.80}")
    return first, None if match[3] == "*" else int(match[3])


def _check_head(response: aiohttp.ClientResponse, ref: Ref) -> None:
    type_ = oci.media_type(response.headers.get("Content-Type", ""))
    if ref.kind == "manifests" and type_ in oci.DOCKER_TYPES:
        raise OriginError(f"{ref.digest}: a manifest of {MANIFEST_TYPE} expected, got one of {type_}: is it converted?")
    claimed = response.headers.get("Docker-Content-Digest", ref.digest)
    if claimed.startswith("sha256:") and claimed != ref.digest:
        raise VerificationError(f"{ref.digest} expected, got {claimed[:80]} as the registry itself says")


async def _chunks(url: str, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_chunked(CHUNK):
            yield chunk
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise OriginUnreachable(f"{url}: {str(error) or type(error).__name__}") from error
