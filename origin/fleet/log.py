"""The log of an origin's events: objects that are written once, in a store that several origins may share.

    feed/origin.json    the identifier that all events of this store bear
    feed/<N>.json       event N; the number is whose who writes it first

The newest KEPT events stay; an edge that was away for longer drops what it keeps. All methods block, and may be called
from several threads.
"""

import errno
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from origin.storage.blobs import BlobStore
from vmimage.errors import OperatorError
from vmimage.feed import EVENT_MAX, is_origin_id

KEPT: Final = 10_000  # events; ten a second for a quarter of an hour, or one a minute for a week
CACHED_BYTES: Final = 8 << 20  # of the newest events, so that edges that come again cost the store nothing
IN_VAIN_MAX: Final = 8  # times that a number is taken and nothing is there
READ_MAX: Final = 500  # events at a time
READ_BYTES: Final = 2 << 20  # and of these about so many bytes
_ORIGIN_KEY: Final = "feed/origin.json"


class Log:
    """The events of one store."""

    def __init__(self, blobs: BlobStore, kept: int = KEPT) -> None:
        """:raises OperatorError: the store holds something else under the feed's keys."""
        self._blobs, self._kept = blobs, kept
        self._appending = threading.Lock()
        self._cached: OrderedDict[int, bytes] = OrderedDict()
        self._cached_bytes = 0
        self.last = 0  # number of the last event that is known here
        self.origin: Final = self._identity()

    def _identity(self) -> str:
        self._blobs.put_if_absent(_ORIGIN_KEY, json.dumps({"origin": secrets.token_hex(16)}).encode())
        try:
            origin = json.loads(self._blobs.get(_ORIGIN_KEY))["origin"]
            if not isinstance(origin, str) or not is_origin_id(origin):
                raise ValueError
        except (ValueError, TypeError, LookupError):
            raise OperatorError(
                f"the identifier of a feed expected in {_ORIGIN_KEY} of the store: restore it from its backup"
            ) from None
        return origin

    def look(self, at_least: int = 0) -> list[tuple[int, bytes]]:
        """Events that are new here: what another origin, or an earlier process, has added.

        :param at_least: a number that is known to have been given.
        """
        with self._appending:
            self.last = max(self.last, at_least)
            found = []
            while (event := self._stored(self.last + 1)) is not None:
                self._note(self.last + 1, event)
                found.append((self.last, event))
            return found

    def append(self, make: Callable[[int], bytes]) -> list[tuple[int, bytes]]:
        """Add an event under the next number, durably; what is new here by that, the event that was added as the last.

        :param make: an event of a number. It is called again where another origin was faster.
        :raises OSError: the store does not take it.
        """
        found, in_vain = [], 0
        with self._appending:
            while in_vain < IN_VAIN_MAX:
                number = self.last + 1
                data = make(number)
                won = self._blobs.put_if_absent(_key(number), data)
                there = data if won else self._stored(number)
                if there is None:
                    in_vain += 1  # another has removed what stood there, or it is no event: it is asked for again
                    continue
                self._note(number, there)
                found.append((number, there))
                if won or there == data:  # the store may have taken it, and its answer was lost
                    self._forget(number - self._kept)
                    return found
            raise OSError(errno.EIO, f"an event or nothing expected in {_key(self.last + 1)} of the store")

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
        with self._appending:
            self._cached.clear()
            self._cached_bytes = 0

    def _stored(self, number: int) -> bytes | None:
        cached = self._cached.get(number)
        if cached is not None:
            return cached
        try:
            data = self._blobs.get(_key(number), 0, EVENT_MAX)
        except FileNotFoundError:
            return None
        return data if len(data) <= EVENT_MAX else None  # no event: others may write to a bucket

    def _note(self, number: int, data: bytes) -> None:
        self.last = number
        self._cached[number] = data
        self._cached_bytes += len(data)
        while self._cached_bytes > CACHED_BYTES:
            _, gone = self._cached.popitem(last=False)
            self._cached_bytes -= len(gone)

    def _forget(self, number: int) -> None:
        if number > 0:
            with suppress(OSError):  # it is beyond what is promised anyway
                self._blobs.delete(_key(number))


def _key(number: int) -> str:
    return f"feed/{number}.json"
