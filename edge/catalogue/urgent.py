"""The catalogue with what a feed has said of it a moment ago: holds that count before the next look, until it.

A hold that came by the feed is signed with the online key; the list in the catalogue by the publisher. The first counts
until the catalogue is as new as the event (`vmimage.feed.Mark`), then the second alone: a thief of the online key can
hold things for as long as nobody looks, and no longer.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from tuf.api.metadata import Root, Timestamp

from edge.catalogue.catalogue import Catalogue
from edge.catalogue.view import said
from vmimage.feed import Mark, mark_of
from vmimage.holds import Holds
from vmimage.signed import load_metadata
from vmimage.trust import ServiceRecord

_FORM = "%Y-%m-%dT%H:%M:%SZ"


class FedCatalogue(Catalogue):
    """A catalogue that a feed may tell of holds. As `Catalogue`, its methods may be called from several threads."""

    _urgent: tuple[int, Holds] | None = None  # number of the last event that has held something, and all that is
    _told = False  # something is held by the feed, or is no more, since the last look
    on_mark: Callable[[Mark | None], None] = staticmethod(lambda _mark: None)  # after each look, in its thread

    @property
    def root(self) -> Root | None:
        """The root that is believed; None before the first look."""
        view = self._view
        return view.trust.root if view is not None else None

    @property
    def snapshot_version(self) -> int:
        """Of what is believed; 0 before the first look."""
        view = self._view
        return view.snapshot.version if view is not None else 0

    @property
    def mark(self) -> Mark | None:
        """Where the timestamp that is believed says that the feed stands.

        :raises FormatError: something else stands there.
        """
        view = self._view
        return mark_of(load_metadata(Timestamp, view.signed[0]).signed) if view is not None else None

    def hold_now(self, what: Iterable[str], number: int) -> None:
        """Hold these until the catalogue is as new as event `number`."""
        since = dict(self._urgent[1].since) if self._urgent is not None else {}
        now = datetime.now(UTC).strftime(_FORM)
        self._urgent, self._told = (number, Holds({**since, **dict.fromkeys(what, now)})), True

    def refresh(self) -> bool:
        """As `Catalogue.refresh`; it has changed as well where the feed has held something before."""
        changed = super().refresh()
        mark = self.mark
        told, self._told = self._told, False
        if self._urgent is not None and mark is not None and mark.seq >= self._urgent[0]:
            self._urgent, told = None, True
        self.on_mark(mark)
        return changed or told

    def holds(self) -> Holds:
        """As `Catalogue.holds`, and what the feed has held."""
        urgent, known = self._urgent, super().holds()
        return replace(known, since={**urgent[1].since, **known.since}) if urgent is not None else known

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        """As `Catalogue.find_service`."""
        return self._unless_held(super().find_service(name, ask=ask))

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        """As `Catalogue.find_host`."""
        return self._unless_held(super().find_host(host, ask=ask))

    def is_held(self, kind: Literal["host", "service"], name: str) -> bool:
        """As `Catalogue.is_held`."""
        if super().is_held(kind, name):
            return True
        record = super().find_host(name) if kind == "host" else super().find_service(name)
        return record is not None and self._unless_held(record) is None

    def _unless_held(self, record: ServiceRecord | None) -> ServiceRecord | None:
        urgent = self._urgent
        if record is None or urgent is None:
            return record
        return said(record, urgent[1], held=False)
