"""Kept answers, by what they answer: pages with their variants, within a budget, void when a purge says so.

It has no clock and no loop: `now` is loop time in seconds, and whoever asks brings it. What it evicts it hands to what
stands `Below`, if there is anything: a disk.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal, Protocol

from edge.cache import reuse
from edge.cache.asked import Asked, Key, Variant
from edge.cache.purges import Named, Purge, Purges
from edge.cache.reuse import Fate
from edge.cache.shelves import HITS_COUNTED, Shelves
from edge.cache.storing import Fields, Kept
from edge.common.counters import Counters

VARIANTS_MAX: Final = 32  # of one page; the oldest goes
# What an answer takes beside its bytes: itself, its place in four tables, its name when it is gone, its values as
# objects; and what a tag takes (by the resident memory of a process with 50,000 small ones of two tags each).
ENTRY_BYTES: Final = 2304
TAG_BYTES: Final = 64


class Entry:
    """One kept answer."""

    __slots__ = (
        "began",
        "body",
        "came",
        "checked",
        "date",
        "fate",
        "fields",
        "hits",
        "kept",
        "key",
        "name",
        "named",
        "on_disk",
        "run",
        "said",
        "scope",
        "size_bytes",
        "softened",
        "status",
        "tenant",
        "variant",
        "wanted",
    )  # fmt: skip

    def __init__(
        self,
        asked: Asked,
        tenant: str,
        run: int,
        kept: Kept,
        status: int,
        date: bytes,
        fields: bytes,
        body: bytes,
        came: float,
        uri: str,
        purges: Purges,
        said: Fields,
    ) -> None:
        """:param run: the number of the last purge before the run that made it began.
        :param date: the line of Date, with those that are the edge's. :param fields: whole lines, and
        `said` what speaks to caches. :param came: loop time. :param uri: as purges name it."""
        self.key, self.variant, self.tenant = asked.key, asked.variant(kept.vary), tenant
        self.run, self.kept, self.status, self.date, self.fields, self.body = run, kept, status, date, fields, body
        self.said = said
        self.came = came
        self.named = Named(uri, kept.tags)
        self.scope = purges.scope(asked.key[0])
        self.checked, self.softened = -1, 0.0
        self.fate: Fate = "good"
        texts = (*asked.key[:4], *self.variant, *(value for _, value in said))
        self.size_bytes = ENTRY_BYTES + TAG_BYTES * len(kept.tags) + len(body) + len(fields) + sum(map(len, texts))
        self.hits = 0
        self.wanted = False  # it was asked for again since it came
        self.on_disk = False  # it came from there, and may be there still
        self.began = 0.0  # loop time since when the run that made it may have been under way; unknown is long ago
        self.name = hash((self.key, self.variant))

    def look(self) -> None:
        """Compare with the purges that came since it was last looked at."""
        if self.checked != self.scope.last:
            self.checked = self.scope.last
            self.fate, self.softened = self.scope.fate(self.named, self.run)

    def stale_for_s(self, now: float) -> float:
        """For how long it has been stale; negative while it is fresh."""
        softened_s = now - self.softened if self.fate == "softened" else None
        return reuse.stale_for_s(self.kept, now - self.came, softened_s)

    def use(self, now: float) -> reuse.Use:
        """What to do with it for a request."""
        validator = bool(self.kept.entity_tag or self.kept.last_modified)
        return reuse.USE[reuse.freshness(self.kept, self.stale_for_s(now), self.fate), validator]

    def may_stand_in(self, now: float) -> bool:
        """Whether it may be served because its guest cannot give another."""
        self.look()
        return reuse.may_stand_in(self.kept, self.stale_for_s(now), self.fate)

    def is_of_use(self, now: float) -> bool:
        """Whether there is a request that it is good for."""
        self.look()
        return reuse.is_of_use(self.kept, self.stale_for_s(now), self.fate)

    def age_s(self, now: float) -> int:
        """What Age says."""
        return self.kept.age_s + int(now - self.came)

    def ttl_s(self, now: float) -> int:
        """What is left of its freshness, less than 0 when it is stale (RFC 9211 section 2.6)."""
        return -int(self.stale_for_s(now) // 1)


Then = Callable[[Entry | None, tuple[bytes, ...] | None], None]


class Below(Protocol):
    """What keeps answers that memory evicts: `edge.cache.disk`."""

    @property
    def memory_bytes(self) -> int:
        """What it takes of the memory for kept answers."""

    @property
    def answers(self) -> int:
        """How many answers it has."""

    @property
    def used_bytes(self) -> int:
        """What it takes where it keeps them, and `limit_bytes` what it may take."""

    @property
    def limit_bytes(self) -> int: ...
    @property
    def purges(self) -> int:
        """How many purges it has to remember."""

    def keep(self, entry: Entry) -> None:
        """Memory has evicted an answer."""

    def forget(self, entry: Entry) -> None:
        """What is there for a variant of a page is not to be served again, nor what other fields tell apart."""

    def forget_uri(self, service: str, uri: str) -> None:
        """Nor anything of a URI."""

    def note(self, number: int, purge: Purge, now: float) -> None:
        """What a purge names is void."""

    async def settled(self) -> bool:
        """Wait until what was made void so far is so for good; False: that could not be."""

    @property
    def is_empty(self) -> bool:
        """Whether no look can find anything."""

    def may_have(self, service: str, uri: str) -> bool:
        """Whether a look may find something."""

    def look(self, asked: Asked, tenant: str, uri: str, then: Then) -> None:
        """Look for the answer to a request; it is told, and which fields answers of its page depend on if any are."""


class _Page:
    """What is kept for one key: variants, by what requests say in the fields that all of them depend on."""

    __slots__ = ("variants", "vary")

    def __init__(self, vary: tuple[bytes, ...]) -> None:
        self.vary = vary
        self.variants: OrderedDict[Variant, Entry] = OrderedDict()


class Responses:
    """All kept answers of an edge."""

    def __init__(
        self,
        budget_bytes: int,
        entry_max_bytes: int,
        purges: Purges,
        counters: Counters,
        below: Below | None = None,
    ) -> None:
        """:param budget_bytes: for all of it, also for what `below` takes in memory.
        :param entry_max_bytes: of one answer's body."""
        self.purges = purges
        self.budget_bytes = budget_bytes
        self.entry_max_bytes = min(entry_max_bytes, budget_bytes // 4)
        self.below: Final = below
        self._counters = counters
        self._shelves: Shelves[Entry] = Shelves(budget_bytes - (below.memory_bytes if below is not None else 0))
        self._pages: dict[Key, _Page] = {}
        self._by_uri: dict[tuple[str, str], tuple[Key, ...]] = {}  # pages, by service and as purges name them

    def __len__(self) -> int:
        return len(self._shelves)

    @property
    def keeps(self) -> bool:
        """Whether there is a budget at all."""
        return self.budget_bytes > 0

    @property
    def used_bytes(self) -> int:
        """Bytes of all answers, and of what they take beside."""
        return self._shelves.used_bytes + (self.below.memory_bytes if self.below is not None else 0)

    def used_by(self, tenant: str) -> int:
        """Of one tenant's."""
        return self._shelves.used_by(tenant)

    def find(self, asked: Asked) -> Entry | Literal["uri-miss", "vary-miss"]:
        """The answer that is kept for a request, fresh or not; or why there is none (RFC 9211 section 2.2)."""
        page = self._pages.get(asked.key)
        if page is None:
            return "uri-miss"
        entry = page.variants.get(asked.variant(page.vary))
        if entry is None:
            return "vary-miss"
        entry.look()
        if entry.fate == "gone":
            self.drop(entry)
            return "uri-miss"
        if entry.hits < HITS_COUNTED:
            entry.hits += 1
            entry.wanted = True
        return entry

    def holds(self, asked: Asked) -> bool:
        """Whether `find` would find something, void or not; it does not count as asking for it."""
        page = self._pages.get(asked.key)
        return page is not None and asked.variant(page.vary) in page.variants

    def variant_of(self, asked: Asked) -> Variant:
        """What tells a request from others for the same page, as far as is known."""
        page = self._pages.get(asked.key)
        return asked.variant(page.vary) if page is not None else ()

    def put(self, entry: Entry) -> None:
        """Keep an answer in place of the one before it."""
        page = self._pages.get(entry.key)
        if page is not None and page.vary != entry.kept.vary:  # what others depend on is known of the newest only
            for old in list(page.variants.values()):
                self._forget(old)
            page = None
        if page is None:
            page = self._pages[entry.key] = _Page(entry.kept.vary)
            where = entry.key[0], entry.named.uri
            self._by_uri[where] = (*self._by_uri.get(where, ()), entry.key)
        before = page.variants.get(entry.variant)
        if before is not None and before.run > entry.run:
            return  # that run began after a purge that this one knew nothing of
        if before is not None:
            del page.variants[entry.variant]
            self._shelves.remove(before)
            entry.hits, entry.wanted = before.hits, before.wanted
        elif len(page.variants) == VARIANTS_MAX:
            _, oldest = page.variants.popitem(last=False)
            self._shelves.remove(oldest)
        page.variants[entry.variant] = entry
        if self.below is not None and not entry.on_disk:
            self.below.forget(entry)  # what is there is older
        for gone in self._shelves.add(entry):
            self.evict(gone)

    def evict(self, entry: Entry) -> None:
        """Have an answer make room for others."""
        self._counters.cache_evictions += 1
        self._forget(entry)
        if self.below is not None:
            self.below.keep(entry)

    def drop(self, entry: Entry) -> None:
        """Keep an answer no longer; a no-op for one that went before."""
        self._forget(entry)
        if self.below is not None:
            self.below.forget(entry)

    def _forget(self, entry: Entry) -> None:
        self._shelves.remove(entry)
        self._leave_page(entry)

    def _leave_page(self, entry: Entry) -> None:
        page = self._pages.get(entry.key)
        if page is not None and page.variants.get(entry.variant) is entry:
            del page.variants[entry.variant]
            if not page.variants:
                del self._pages[entry.key]
                self._forget_uri((entry.key[0], entry.named.uri), entry.key)

    def _forget_uri(self, where: tuple[str, str], key: Key) -> None:
        left = tuple(other for other in self._by_uri[where] if other != key)
        if left:
            self._by_uri[where] = left
        else:
            del self._by_uri[where]

    def drop_uri(self, service: str, uri: str) -> None:
        """Keep nothing of one URI of a service: what `purge` does, for who knows what is under way there.

        It is not remembered, so that nobody can drive out purges with requests that change something.
        """
        for key in self._by_uri.get((service, uri), ()):
            for entry in list(self._pages[key].variants.values()):
                self._forget(entry)
        if self.below is not None:
            self.below.forget_uri(service, uri)

    def purge(self, purge: Purge, now: float) -> int:
        """Void what a purge names; its number."""
        self._counters.add(self._counters.purges, purge.kind)
        number = self.purges.add(purge, now)
        if self.below is not None:
            self.below.note(number, purge, now)
        return number

    async def settled(self) -> bool:
        """Wait until all purges so far hold for whatever edge comes after; False: that could not be noted."""
        return self.below is None or await self.below.settled()

    def worth_keeping(self) -> list[Entry]:
        """Those that were asked for again, what is in use before what is new."""
        return [entry for entry in self._shelves if entry.wanted]
