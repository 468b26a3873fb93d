"""Which kept answers are void, by numbers: a purge costs the same whether it hits one answer or a million.

Each purge has a number, each kept answer the number of the last purge before the run that made it began. An answer is
void if a purge that names it has a greater number, so what was under way when the purge came is void too. Purges of a
service are remembered up to a bound, and so are those of all services together; beyond it the oldest are made into one
of the whole service, which voids more than was asked and never less. No I/O and no clock: who keeps answers for longer
than the process lives keeps the purges with them (`Purges.all`, `Purges.replay`).
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from edge.cache.reuse import Fate

Kind = Literal["all", "service", "uri", "prefix", "tag"]
SCOPES_MAX: Final = 4096  # purges of one service that are remembered one by one; some 1 MiB
PREFIXES_MAX: Final = 64  # of these by prefix, each of which is compared with every answer after a purge
REMEMBERED_MAX: Final = 1 << 15  # purges of all services together that are remembered one by one; some 8 MiB


class Purge(NamedTuple):
    """What is void. `service` is empty for all services; `selector` a URI without scheme, a prefix of one or, with a
    slash first, of its path, or a tag.

    A soft purge makes answers stale, so that they may still stand in while their guest makes new ones.
    """

    kind: Kind
    service: str = ""
    selector: str = ""
    soft: bool = False


class Named(NamedTuple):
    """An answer as purges name it."""

    uri: str  # host without port, and target
    tags: Sequence[str]


class _Mark(NamedTuple):
    number: int
    at: float  # loop time


_NONE: Final = _Mark(0, 0.0)
_NO_NAMES: Final[OrderedDict[tuple[Kind, str], _Mark]] = OrderedDict()  # of nearly all services; stays empty


class _Marks:
    """Purges of one kind of force, hard or soft, of one service."""

    __slots__ = ("by_name", "prefixes", "whole")

    def __init__(self) -> None:
        self.whole = _NONE
        self.by_name = _NO_NAMES  # the oldest first; a dictionary of its own once there is one
        self.prefixes = 0

    def enter(self, purge: Purge, mark: _Mark) -> None:
        if purge.kind == "service":
            self.whole = mark
            self.by_name = _NO_NAMES  # all of them are older
            self.prefixes = 0
            return
        name = purge.kind, purge.selector
        if not self.by_name:
            self.by_name = OrderedDict()
        known = self.by_name.pop(name, None)
        self.prefixes += purge.kind == "prefix" and known is None
        self.by_name[name] = mark
        while len(self.by_name) > SCOPES_MAX or self.prefixes > PREFIXES_MAX:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        """Let the oldest stand for the whole service."""
        (kind, _), self.whole = self.by_name.popitem(last=False)
        self.prefixes -= kind == "prefix"

    def all(self, service: str, *, soft: bool) -> Iterator[tuple[int, Purge, float]]:
        """What is remembered, as purges."""
        if self.whole.number:
            yield self.whole.number, Purge("service" if service else "all", service, "", soft), self.whole.at
        for (kind, selector), mark in self.by_name.items():
            yield mark.number, Purge(kind, service, selector, soft), mark.at

    def last(self, named: Named) -> _Mark:
        """The last purge of what is so named."""
        found, by_name = self.whole, self.by_name
        if by_name:
            found = max(found, by_name.get(("uri", named.uri), _NONE))
            for tag in named.tags:
                found = max(found, by_name.get(("tag", tag), _NONE))
            if self.prefixes:
                for (kind, prefix), mark in by_name.items():
                    if kind == "prefix" and _begins(named.uri, prefix):
                        found = max(found, mark)
        return found


def _begins(uri: str, prefix: str) -> bool:
    """Whether a URI begins so; a prefix that begins with a slash is one of its path, on any host."""
    return uri.startswith(prefix) or (prefix.startswith("/") and uri.startswith(prefix, uri.find("/")))


class Scope:
    """The purges of one service."""

    __slots__ = ("_purges", "at", "hard", "number", "soft")

    def __init__(self, purges: "Purges") -> None:
        self._purges = purges
        self.number = 0  # of the last one
        self.at = 0.0  # when that was, loop time
        self.hard, self.soft = _Marks(), _Marks()

    @property
    def last(self) -> int:
        """The number of the last purge that could name an answer of the service."""
        return max(self.number, self._purges.common_number)

    @property
    def last_at(self) -> float:
        """When that was, in loop time; 0 for never."""
        return max(self.at, self._purges.common_at)

    def fate(self, named: Named, run: int) -> tuple[Fate, float]:
        """What has become of an answer whose run began after purge number `run`, and since when (loop time)."""
        common = self._purges
        if max(self.hard.last(named), common.hard.last(named)).number > run:
            return "gone", 0.0
        soft = max(self.soft.last(named), common.soft.last(named))
        return ("softened", soft.at) if soft.number > run else ("good", 0.0)


class Purges:
    """All purges of an edge that some kept answer may be older than."""

    def __init__(self, first: int = 0) -> None:
        """:param first: a number that no edge of this cache folder has passed before."""
        self.number = first
        self.common_number = 0  # of the last purge that is not of one service
        self.common_at = 0.0
        self.hard, self.soft = _Marks(), _Marks()
        self._scopes: dict[str, Scope] = {}
        self.remembered = 0  # one by one

    def scope(self, service: str) -> Scope:
        """Those of a service."""
        found = self._scopes.get(service)
        if found is None:
            found = self._scopes[service] = Scope(self)
        return found

    def add(self, purge: Purge, now: float) -> int:
        """Void what a purge names, as of now; its number.

        :param now: loop time.
        """
        self.number += 1
        self._enter(self.number, purge, now)
        return self.number

    def replay(self, number: int, purge: Purge, at: float) -> None:
        """Take in a purge of an earlier process, in the order of their numbers.

        :param at: when it was, in loop time.
        """
        self.number = max(self.number, number)
        self._enter(number, purge, at)

    def _enter(self, number: int, purge: Purge, at: float) -> None:
        mark = _Mark(number, at)
        if purge.service:
            scope = self.scope(purge.service)
            scope.number, scope.at = number, at
            marks = scope.soft if purge.soft else scope.hard
            whole = purge
        else:
            self.common_number, self.common_at = number, at
            marks = self.soft if purge.soft else self.hard
            whole = purge._replace(kind="service") if purge.kind == "all" else purge
        before = len(marks.by_name)
        marks.enter(whole, mark)
        self.remembered += len(marks.by_name) - before
        if self.remembered > REMEMBERED_MAX:
            self._make_room()

    def _make_room(self) -> None:
        """Half of those of the service that has most stand for all of it, so that the search pays for many purges."""
        most = max(self._marks(), key=lambda each: len(each[1].by_name))[1]
        for _ in range((len(most.by_name) + 1) // 2):
            most.forget_oldest()
            self.remembered -= 1

    def _marks(self) -> Iterator[tuple[str, _Marks, bool]]:
        yield "", self.hard, False
        yield "", self.soft, True
        for service, scope in self._scopes.items():
            yield service, scope.hard, False
            yield service, scope.soft, True

    def all(self) -> list[tuple[int, Purge, float]]:
        """All that is remembered, by number: what `replay` takes to void the same."""
        found = [each for service, marks, soft in self._marks() for each in marks.all(service, soft=soft)]
        return sorted(found, key=lambda each: each[0])
