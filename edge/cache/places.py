"""Where a kept answer is on disk, in 16 bytes each: its URI, its page, its variant; and which URIs may be there. Pure.

The names are digests, so an index of them has entries of one size, whatever clients ask for. What is found under one
says itself what it is an answer to (`edge.cache.recorded`); nothing is believed for its name.
"""

import hashlib
import mmap
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from edge.cache.asked import Key, Variant

DIGEST_BYTES: Final = 16
COUNT_MAX: Final = 255
_SLOTS: Final = struct.Struct("<QQ")


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


class Index:
    """Which URIs may be on disk: a counting Bloom filter, whose memory is the same however many there are.

    It takes no for an answer only where it is one. With four bytes an entry it is wrong about one in seven that are not
    there, with eight about one in twenty; each costs a look at the disk. What was counted to 255 stays.
    """

    def __init__(self, size_bytes: int) -> None:
        # Pages that nothing was counted in take no memory: most edges' are empty for a long time.
        self._counts = mmap.mmap(-1, max(1, size_bytes), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._entries = 0

    def __bool__(self) -> bool:
        """Whether anything was added that was not removed."""
        return self._entries > 0

    def __contains__(self, uri: bytes) -> bool:
        first, second = self._slots(uri)
        return self._counts[first] > 0 and self._counts[second] > 0

    def add(self, uri: bytes) -> None:
        """One more answer of a URI is there."""
        self.add_all((uri,))

    def add_all(self, uris: Iterable[bytes]) -> None:
        """So many more; in one loop, since an edge that starts has a million of them to add."""
        counts, size, slots = self._counts, len(self._counts), _SLOTS.unpack
        for uri in uris:
            self._entries += 1
            for slot in slots(uri):
                if counts[slot % size] < COUNT_MAX:
                    counts[slot % size] += 1

    def remove(self, uri: bytes) -> None:
        """One that was added is there no more."""
        self._entries -= 1
        for slot in self._slots(uri):
            if 0 < self._counts[slot] < COUNT_MAX:
                self._counts[slot] -= 1

    def _slots(self, uri: bytes) -> tuple[int, int]:
        first, second = _SLOTS.unpack(uri)
        size = len(self._counts)
        return first % size, second % size
