"""What a guest asks of the answers that are kept for itself, as values: read from its exchange and checked. Pure.

A guest reaches them by exchanges to `nunatak:cache`, which is no upstream that an image could name. `GET`, `PUT` and
`DELETE` of `nunatak:cache/NAME/URL` find, keep and forget the answer that the guest keeps for that URL under that name.
`POST` to `nunatak:cache` purges, of all that is kept for its service. Each answer begins with the field
`Nunatak-Cache`, a word of `Outcome`; fields of what is kept follow.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeGuard
from urllib.parse import urlsplit

from edge.cache import fields
from edge.cache.asked import Asked
from edge.cache.purges import Purge
from edge.cache.storing import SPEAKING, Fields, Kept
from edge.model.fields import HOP_BY_HOP
from edge.model.routes import host_name

CACHE: Final = "nunatak:cache"
OUTCOME: Final = b"Nunatak-Cache"
STATUS: Final = "nunatak-status"  # of what is to be kept
ASKED: Final = "nunatak-asked-"  # before the names of the fields, of the request, that Vary lists
NAME_MAX: Final = 512  # characters of a cache's name, percent-encoded
URL_MAX: Final = 8190  # as in a request line
PURGE_MAX: Final = 64 << 10  # bytes of a purge
SELECTORS_MAX: Final = 256  # of a purge, as operators have them
BLOCK_MAX: Final = 12 << 10  # bytes of the fields that are kept of one answer: with what is added they fit a record

Outcome = Literal["hit", "miss", "stored", "not_kept", "deleted", "not_found", "purged", "refused"]
STATUSES: Final[dict[Outcome, int]] = {  # but for hits, which have their own
    "miss": 504,  # as `only-if-cached` has it (RFC 9111 section 5.2.1.7)
    "stored": 204,
    "not_kept": 413,  # as the reference platform has it
    "deleted": 200,
    "not_found": 404,
    "purged": 200,
    "refused": 400,
}

_BEGINNING: Final = f"\0URL\0{CACHE}".encode()
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_.!~*'()-]|%[0-9A-Fa-f]{2})*")  # what encodeURIComponent() writes
_URL: Final = re.compile(r"[!-\"$-~]+")  # printable and without a fragment
_STATUS: Final = re.compile(r"[2-5][0-9]{2}")
# Fields of the edge's own, or of one connection: none of these is kept.
_NOT_KEPT: Final = HOP_BY_HOP | {b"age", b"content-length", b"date", OUTCOME.lower()}
_OF_BODY: Final = frozenset(b"content-type content-encoding content-language content-range content-md5".split())


class CallRefused(Exception):
    """What a guest asks is no call; the text says what was expected."""


class Place(NamedTuple):
    """Where an answer is kept: the name of a cache, and a URL; `uri` is its host without port and target."""

    name: str
    url: str
    uri: str


class Owner(NamedTuple):
    """Whose answers they are: each version of each service of each tenant has its own."""

    service: str
    tenant: str
    version: str  # digest of its image


class Given(NamedTuple):
    """An answer that a guest gives to be kept, but for its body."""

    status: int
    fields: Sequence[tuple[bytes, bytes]]  # names as they came
    asked: Sequence[tuple[bytes, bytes]]  # what the request says in the fields that Vary lists


def is_call(block: bytes) -> bool:
    """Whether a SUBREQUEST's block is for the cache, and not for an upstream."""
    end = block.find(b"\0", len(b"Method\0"))
    return block.startswith(_BEGINNING, end) and block[end + len(_BEGINNING) : end + len(_BEGINNING) + 1] in b"/\0"


def place_of(url: str) -> Place:
    """The place that a call's URL names.

    :raises CallRefused: it names none.
    """
    name, slash, inner = url.removeprefix(f"{CACHE}/").partition("/")
    if not slash or len(name) > NAME_MAX or _NAME.fullmatch(name) is None:
        raise CallRefused(f"{CACHE}/NAME/URL with a name of at most {NAME_MAX} characters expected")
    if len(inner) > URL_MAX or _URL.fullmatch(inner) is None:
        raise CallRefused(f"a URL of at most {URL_MAX} characters without a fragment expected")
    try:
        parts = urlsplit(inner)
        host = host_name(parts.netloc.rpartition("@")[2])
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise CallRefused("an absolute http or https URL expected")
    return Place(name, inner, f"{host}{parts.path or '/'}{'?' + parts.query if parts.query else ''}")


def asked_of(owner: Owner, place: Place, headers: Sequence[tuple[bytes, bytes]]) -> Asked:
    """A question for what is kept there. What other requests would mean another page by is nothing here: it is the
    guest's own URL that counts, and Vary.
    """
    asked = Asked("GET", headers, owner.service, owner.version, "", "")
    asked.key = (owner.service, owner.version, f"{CACHE}/{place.name}", place.url, (owner.tenant.encode(),))
    return asked


def headers_of(listed: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """The request's fields in a GET, of which some may be marked: what carries exchanges would change them."""
    return [(name.lower().removeprefix(ASKED).encode(), value.encode()) for name, value in listed]


def named(owner: Owner, place: Place) -> str:
    """An entry's name for purges, of no other place: prefixes and tags find it as they find pages, one URI's does not.

    What follows the blank no target has, so a POST to the page of that URL leaves it alone.
    """
    which = hashlib.sha256(repr((owner, place)).encode()).hexdigest()
    return f"{place.uri} {which}"


def given_of(listed: Sequence[tuple[str, str]]) -> Given:
    """What a PUT gives to be kept.

    :raises CallRefused: it does not say its status.
    """
    status, kept, asked = "", list[tuple[bytes, bytes]](), list[tuple[bytes, bytes]]()
    for name, value in listed:
        lower = name.lower()
        if lower == STATUS:
            status = value
        elif lower.startswith(ASKED):
            asked.append((lower.removeprefix(ASKED).encode(), value.encode()))
        elif lower.encode() not in _NOT_KEPT:
            kept.append((name.encode(), value.encode()))
    if _STATUS.fullmatch(status) is None:
        raise CallRefused(f"{STATUS}: a status from 200 to 599 expected")
    return Given(int(status), kept, asked)


def said_of(given: Given) -> Fields:
    """What it says to caches."""
    return tuple((name.lower(), value) for name, value in given.fields if name.lower() in SPEAKING)


def lines_of(given: Given, kept: Kept) -> bytes | None:
    """Its fields as they are kept, whole lines; None where they are too many."""
    lines = b"".join(b"%b: %b\r\n" % pair for pair in given.fields if pair[0].lower() not in kept.left_out)
    return lines if len(lines) <= BLOCK_MAX else None


def without_body(lines: bytes) -> bytes:
    """The lines without those that describe a body (RFC 9110 section 15.4.5)."""
    return b"".join([line for line in lines.splitlines(True) if line.partition(b":")[0].lower() not in _OF_BODY])


def serves(kept: Kept) -> bool:
    """Whether an answer is of use: nobody validates it, or makes it anew while a stale one is served."""
    return kept.lifetime_s > kept.age_s and not kept.validates_always


def block(status: int, outcome: Outcome, lines: bytes = b"", *others: tuple[bytes, bytes]) -> bytes:
    """The key-value block that begins an answer."""
    parts = [b"Status", b"%d" % status, OUTCOME, outcome.encode()]
    for line in lines.splitlines():
        name, _, value = line.partition(b": ")
        parts += [name, value]
    for name, value in others:
        parts += [name, value]
    return b"\0".join([*parts, b"", b""])


def purges_of(service: str, body: bytes) -> list[Purge]:
    """What a purge names, of one service: JSON with any of `tags`, `pathPrefixes` and `purgeEverything`.

    :raises CallRefused: nothing, or what cannot be purged.
    """
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise CallRefused("an object with tags, pathPrefixes or purgeEverything expected")
    tags, prefixes = asked.get("tags", []), asked.get("pathPrefixes", [])
    if not _are_texts(tags) or not _are_texts(prefixes) or len(tags) + len(prefixes) > SELECTORS_MAX:
        raise CallRefused(f"at most {SELECTORS_MAX} tags and pathPrefixes, lists of texts, expected")
    if asked.get("purgeEverything") is True:
        return [Purge("service", service)]
    if not all(map(fields.is_tag, tags)):
        raise CallRefused(f"tags of at most {fields.TAG_MAX} printable characters without blanks expected")
    if not all(prefix.startswith("/") and len(prefix) <= URL_MAX for prefix in prefixes):
        raise CallRefused("pathPrefixes that begin with a slash, without scheme and host, expected")
    found = [Purge("tag", service, tag.lower()) for tag in tags]
    found += [Purge("prefix", service, prefix) for prefix in prefixes]
    if not found:
        raise CallRefused("tags, pathPrefixes or purgeEverything expected")
    return found


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
