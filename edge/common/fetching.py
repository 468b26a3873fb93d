"""What an answer to a GET means to who fetches: content, another place, later, or no. Decisions without I/O.

Content is verified by whoever fetches it, so it may come from anywhere; what is bounded here is how often a fetch is
sent on, and that nothing asked for by TLS is had without it. No request carries credentials to a place that the
operator did not name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias
from urllib.parse import urljoin, urlsplit

from vmimage import oci
from vmimage.errors import OriginBusy, OriginError, VerificationError

REDIRECTS_MAX: Final = 5
RETRY_MAX_S: Final = 3600.0  # of what an origin asks for; more is as good as never
RETRY_MIN_S: Final = 0.2  # so that an origin that says "at once" is not asked in circles
RETRY_DEFAULT_S: Final = 1.0  # where it says only that it is busy
REASON_BYTES: Final = 8 << 10  # of an error body that are read
_MOVED: Final = frozenset({301, 302, 303, 307, 308})  # RFC 9110 section 15.4: all mean another GET for a GET
_BUSY: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Content:
    """The body is what was asked for."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was asked for is at `url`."""

    url: str


@dataclass(frozen=True, slots=True)
class Later:
    """The origin is busy and asks to be asked again, in so many seconds."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """The origin does not give it."""


class Missing(OriginError):
    """Who was asked has no such thing; somebody else may."""


class Behind(VerificationError):
    """What a source has of the catalogue is older than what is known, or its files are not of one version."""


Meaning: TypeAlias = Content | Moved | Later | Refused


def meaning(url: str, status: int, headers: Mapping[str, str], hops: int, now: float) -> Meaning:
    """What an answer means.

    :param headers: by name in any case, as both clients have them.
    :param hops: how often this fetch was sent on before.
    :param now: seconds since 1970, by which a date in Retry-After is read.
    :raises OriginError: it is sent on too often, to nowhere, or away from TLS.
    """
    if status == 200:
        return Content()
    if status in _MOVED:
        return Moved(_target(url, status, headers.get("Location"), hops))
    if status in _BUSY:
        return Later(retry_after_s(headers.get("Retry-After"), now))
    return Refused()


def _target(url: str, status: int, location: str | None, hops: int) -> str:
    if hops >= REDIRECTS_MAX:
        raise OriginError(f"{url}: at most {REDIRECTS_MAX} redirects expected, got another")
    try:
        target = urljoin(url, location or "").partition("#")[0]
        parts = urlsplit(target)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        parts.port  # noqa: B018  # ValueError for one that is none
    except ValueError:
        usable = False
    if not location or not usable:
        raise OriginError(f"{url}: an http or https URL to go to expected with status {status}, got {location!r:.200}")
    if urlsplit(url).scheme == "https" and parts.scheme != "https":
        raise OriginError(f"{url}: a redirect by https expected, got one to {target:.200}: it would leave TLS")
    return target


def retry_after_s(value: str | None, now: float) -> float:
    """Seconds of a Retry-After field (RFC 9110 section 10.2.3), a delay or a date; a default where it says neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        wait_s = float(text[:9])
    else:
        try:
            wait_s = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError, IndexError):
            wait_s = RETRY_DEFAULT_S
    return min(max(wait_s, RETRY_MIN_S), RETRY_MAX_S)


def refusal(url: str, status: int, headers: Mapping[str, str], body: bytes) -> OriginError:
    """What is said of an answer that gives nothing, in one line.

    :param body: the first bytes of it.
    """
    said = oci.reason(body)
    text = f"{url}: status 200 expected, got {status}" + (f": {said}" if said else "")
    if status in (401, 403):
        scheme = (headers.get("WWW-Authenticate") or "").split(" ")[0][:40]
        wants = f" (it wants {scheme})" if scheme else ""
        text += f"; no credentials that serve{wants}: name some in registry_auth, or let all read this registry"
    return (Missing if status == 404 else OriginError)(text)


def busy(url: str, status: int, wait_s: float) -> OriginBusy:
    """What is said of an origin that wants to be asked later than we can wait."""
    return OriginBusy(f"{url}: status 200 expected, got {status}: to be asked again in {wait_s:.0f} s", wait_s)
