"""The log of an origin's events: objects that are written once, in a store that several origins may share.

    feed/origin.json    the identifier that all events of this store bear
    feed/<N>.json       event N; the number is whose who writes it first

The newest KEPT events stay; an edge that was away for longer drops what it keeps. Others may write to a bucket, too: an
object is an event if an origin has signed it, for this store and this number, and counts as not there if it is none.
Where the next event belongs, it is replaced, by comparing, so that an event of another origin never is.

All methods block, and may be called from several threads.
"""

import errno
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from cachetools import LRUCache
from tuf.api.metadata import Root

from origin.storage.blobs import BlobStore, Changed, TooLarge
from vmimage.errors import OperatorError, VerificationError
from vmimage.feed import is_origin_id, parse_event

KEPT: Final = 10_000  # events; ten a second for a quarter of an hour, or one a minute for a week
CACHED_BYTES: Final = 8 << 20  # of verified events, so that edges that come again cost the store and this nothing
IN_VAIN_MAX: Final = 8  # times that a number is taken and nothing is there
SAID_EVERY_S: Final = 60.0  # a line about objects that are no events
READ_MAX: Final = 500  # events at a time
READ_BYTES: Final = 2 << 20  # and of these about so many bytes
_ORIGIN_KEY: Final = "feed/origin.json"
_LOG: Final = logging.getLogger(__name__)


class _Object(NamedTuple):
    """What is under a number."""

    data: bytes | None  # None: it is no event
    tag: str


class Log:
    """The events of one store."""

    def __init__(self, blobs: BlobStore, root: Callable[[], Root], kept: int = KEPT) -> None:
        """:param root: says whose the key is that signs events.

        :raises OperatorError: the store holds something else under the feed's keys.
        """
        self._blobs, self._root, self._kept = blobs, root, kept
        self._appending = threading.Lock()
        self._caching = threading.Lock()
        self._cached: LRUCache[int, bytes] = LRUCache(CACHED_BYTES, len)  # verified by the root of this version:
        self._cached_by = 0
        self._refused: LRUCache[int, None] = LRUCache(kept)  # numbers
        self._said_s = -SAID_EVERY_S
        self.last = 0  # number of the last event that is known here
        self.refused = 0  # objects that were found in the place of events
        self.origin: Final = self._identity()

    def _identity(self) -> str:
        self._blobs.put_if_absent(_ORIGIN_KEY, json.dumps({"origin": secrets.token_hex(16)}).encode())
        try:
            origin = json.loads(self._blobs.get(_ORIGIN_KEY))["origin"]
            if not isinstance(origin, str) or not is_origin_id(origin):
                raise ValueError
        except (ValueError, TypeError, LookupError, RecursionError, TooLarge):
            raise OperatorError(
                f"the identifier of a feed expected in {_ORIGIN_KEY} of the store: restore it from its backup"
            ) from None
        return origin

    def look(self, at_least: int = 0) -> list[tuple[int, bytes]]:
        """Events that are new here: what another origin, or an earlier process, has added.

        :param at_least: a number that is known to have been given: no other event may have it, though it be gone.
        """
        with self._appending:
            return self._look(at_least)

    def append(self, make: Callable[[int], bytes], at_least: int = 0) -> list[tuple[int, bytes]]:
        """Add an event under the next number, durably; what is new here by that, the event that was added as the last.

        :param make: an event of a number. It is called again where another origin was faster. :param at_least: see
            `look`.
        :raises OSError: the store does not take it.
        """
        in_vain, number, data = 0, 0, b""
        with self._appending:
            found = self._look(at_least) if self.last < at_least else []
            while in_vain < IN_VAIN_MAX:
                if number != self.last + 1:
                    number = self.last + 1
                    data = make(number)
                there = self._put(number, data)
                if there is None:
                    in_vain += 1
                    continue
                self._note(number, there)
                found.append((number, there))
                if there == data:
                    self._forget(number - self._kept)
                    return found
            raise OSError(errno.EIO, f"{_key(self.last + 1)} of the store is written by others again and again")

    def _look(self, at_least: int) -> list[tuple[int, bytes]]:
        found = self._new()
        if self.last < at_least:
            self.last = at_least
            found += self._new()
        return found

    def _new(self) -> list[tuple[int, bytes]]:
        found = []
        while (event := self._stored(self.last + 1)) is not None:
            self._note(self.last + 1, event)
            found.append((self.last, event))
        return found

    def _put(self, number: int, data: bytes) -> bytes | None:
        """The event that is under a number now: this one, or another origin's; None where that is to be tried again."""
        if self._blobs.put_if_absent(_key(number), data):
            return data
        there = self._object(number, data)
        if there is None or there.data is not None:
            return there.data if there is not None else None
        try:
            self._blobs.swap(_key(number), there.tag, data)
        except Changed:
            return None
        return data

    def after(self, number: int) -> list[tuple[int, bytes]]:
        """The events after a number that are there, oldest first, at most READ_MAX and about READ_BYTES."""
        first = max(number + 1, self.last - self._kept + 1, 1)
        found, size = [], 0
        for each in range(first, min(self.last, first + READ_MAX - 1) + 1):
            if (data := self._stored(each)) is not None:
                found.append((each, data))
                size += len(data)
            if size >= READ_BYTES:
                break
        return found

    def forget_cached(self) -> None:
        """Have nothing but the store, as after a restart."""
        with self._caching:
            self._cached.clear()

    def _stored(self, number: int) -> bytes | None:
        root = self._root()
        with self._caching:
            cached = self._cached.get(number) if self._cached_by == root.version else None
        if cached is not None:
            return cached
        found = self._object(number)
        if found is None or found.data is None:
            return None
        self._cache(number, found.data, root)
        return found.data

    def _object(self, number: int, own: bytes | None = None) -> _Object | None:
        """:param own: an event that may be the one, and is known to be one: a store's answer may be lost."""
        try:
            if (found := self._blobs.read(_key(number))) is None:
                return None
            data, tag = found
            if data != own:
                self._require_event(number, data)
        except TooLarge as error:
            self._refuse(number, error)
            return _Object(None, error.tag)
        except VerificationError as error:
            self._refuse(number, error)
            return _Object(None, tag)
        return _Object(data, tag)

    def _require_event(self, number: int, data: bytes) -> None:
        """:raises VerificationError: these bytes are not the event of this store and this number."""
        event = parse_event(data, self._root())
        if (event.origin, event.seq) != (self.origin, number):
            raise VerificationError(f"event {number} of {self.origin} expected, got {event.seq} of {event.origin}")

    def _refuse(self, number: int, why: Exception) -> None:
        """Count it once, and say it at times."""
        with self._caching:
            if number in self._refused:
                return
            self._refused[number] = None
            self.refused += 1
            now = time.monotonic()
            if now - self._said_s < SAID_EVERY_S:
                return
            self._said_s = now
        _LOG.error(
            "%s is no event, %d such until now: does somebody else write to the store? %s",
            _key(number),
            self.refused,
            why,
        )

    def _note(self, number: int, data: bytes) -> None:
        self.last = number
        self._cache(number, data, self._root())

    def _cache(self, number: int, data: bytes, root: Root) -> None:
        with self._caching:
            if self._cached_by != root.version:
                self._cached.clear()
                self._cached_by = root.version
            self._cached[number] = data

    def _forget(self, number: int) -> None:
        if number > 0:
            with suppress(OSError):  # it is beyond what is promised anyway
                self._blobs.delete(_key(number))


def _key(number: int) -> str:
    return f"feed/{number}.json"
