"""Which source of the catalogue is asked, and when a second one is asked beside it.

Signatures say what may be believed, and a view never goes back, so a source can do one thing only: keep the news to
itself until the timestamp ends. The rule against that:

- a look asks the first source that is well; one that fails, is expired or is older than what is known makes room for
  the next, and has failed (`edge.sources.health`);
- the first look, and then every `COMPARE_EVERY`th, asks one more source, in rotation. If that has a newer catalogue,
  what the first says is older than what is known from then on, and the rule above takes its course.

So a source that freezes is found out within that many looks, while one other is honest. Files that the snapshot names
are taken from whoever has what verifies.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from edge.common.counters import Counters
from edge.config.sources import Place
from edge.sources.outcomes import most_telling
from edge.sources.standing import Standing
from vmimage.errors import OriginError, VerificationError

COMPARE_EVERY: Final = 12  # looks: a minute, with the usual `refresh`

_T = TypeVar("_T")


class MetadataSource:
    """A place that has the catalogue's files."""

    def __init__(self, name: str, url: str) -> None:
        """:param url: of the folder."""
        self.name, self.url = name, url.rstrip("/") + "/"
        self._etag: str | None = None
        self._timestamp = b""

    def etag(self, timestamp: bytes) -> str | None:
        """The entity tag under which it gave this very timestamp; None where it did not."""
        return self._etag if timestamp == self._timestamp else None

    def gave(self, timestamp: bytes, etag: str | None) -> None:
        """It gave this timestamp, which is believed."""
        self._timestamp, self._etag = timestamp, etag


def metadata_sources(places: Sequence[Place]) -> list[MetadataSource]:
    """Those of a configuration's sources that have the catalogue, in order."""
    return [MetadataSource(place.text, place.metadata_url) for place in places if place.metadata_url]


class Asking:
    """The sources of one catalogue. May be used by several threads."""

    def __init__(self, sources: Sequence[MetadataSource], counters: Counters, anew: set[str]) -> None:
        """:param sources: at least one, in order.

        :param anew: gets the folders whose files are to be asked for past all caches: of sources that gave what does
            not verify, until they give what does. A parent before a source has no keys, and keeps what that gave.
        """
        self.standing = Standing([source.name for source in sources], counters)
        self._sources, self._lock, self._anew = tuple(sources), threading.Lock(), anew
        self._looks, self._compared = 0, 0

    def look(self, refresh: Callable[[MetadataSource], bool]) -> bool:
        """Look for a newer catalogue; whether anything has changed.

        :param refresh: takes over what a source has; whether that changed anything.
        :raises OriginError: no source has one that counts.
        """
        asked, changed = self._first(refresh)
        self._looks += 1
        if (self._looks - 1) % COMPARE_EVERY == 0 and (other := self._other(asked)) is not None:
            with suppress(OriginError):
                changed |= self._ask(other, refresh)
        return changed

    def file(self, fetch: Callable[[MetadataSource], _T]) -> _T:
        """A file that the snapshot names, verified, from the first source that gives it.

        :raises OriginError: none does.
        """
        return self._first(fetch)[1]

    def _first(self, work: Callable[[MetadataSource], _T]) -> tuple[MetadataSource, _T]:
        errors: list[OriginError] = []
        with self._lock:
            order = self.standing.order(self._sources)
        for source in order:
            try:
                return source, self._ask(source, work)
            except OriginError as error:
                errors.append(error)
        raise most_telling(errors)

    def _other(self, asked: MetadataSource) -> MetadataSource | None:
        """Whom to compare with: another one that is well, each in its turn."""
        with self._lock:
            others = [each for each in self._sources if each is not asked and self.standing.in_turn(each)]
        self._compared += 1
        return others[self._compared % len(others)] if others else None

    def _ask(self, source: MetadataSource, work: Callable[[MetadataSource], _T]) -> _T:
        with self._lock:
            self.standing.begin(source)
        try:
            done = work(source)
        except OriginError as error:
            with self._lock:
                self.standing.failed(source, error)
                if isinstance(error, VerificationError):
                    self._anew.add(source.url)
            raise
        except BaseException:
            with self._lock:
                self.standing.given_up(source)
            raise
        with self._lock:
            self.standing.succeeded(source)
            self._anew.discard(source.url)
        return done
