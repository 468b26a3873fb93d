"""Where a kept answer is on disk, in 16 bytes each: its URI, its page, its variant. Pure.

The names are digests, so an index of them has entries of one size, whatever clients ask for. What is found under one
says itself what it is an answer to (`edge.cache.recorded`); nothing is believed for its name.
"""

import hashlib
from typing import Final, NamedTuple

from edge.cache.asked import Key, Variant

DIGEST_BYTES: Final = 16


class Place(NamedTuple):
    """A kept answer's names."""

    uri: bytes
    page: bytes
    variant: bytes


def uri_digest(service: str, uri: str) -> bytes:
    """Of a URI of a service, as purges name it."""
    return _digest((service, uri))


def page_digest(key: Key) -> bytes:
    """Of a page."""
    return _digest(key)


def variant_digest(vary: tuple[bytes, ...], variant: Variant) -> bytes:
    """Of a variant of a page.

    :param vary: the fields that it depends on. :param variant: what a request says in them.
    """
    return _digest((vary, variant))


def _digest(what: object) -> bytes:
    # The notation of tuples of texts and bytes is another for others, and all of it ASCII or escaped.
    return hashlib.blake2b(ascii(what).encode("ascii"), digest_size=DIGEST_BYTES).digest()
