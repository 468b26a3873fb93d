"""Whether it is worth waiting for another's answer: only for one that may be kept. A table over what answers were.

That an answer is not kept is known with its head, and whoever was held back for it has waited for nothing. So what came
of answers is remembered for a while: of a page, of its path, which is the page without its query, and of the version of
its service. The first of these of which something is known decides. Of what nothing is known the best is hoped: a cold
page that many ask for at once is what waiting is for. No I/O and no clock: `now` is loop time in seconds.
"""

from collections import OrderedDict
from typing import Final, Literal

from edge.cache.asked import Key

Lately = Literal["kept", "not-kept", "unknown"]

# Whether requests wait for the first that asks for the same, by what answers were lately: of the page, of its path, of
# its service; the first of these that is known decides.
WAITS: Final[dict[Lately, bool]] = {"kept": True, "not-kept": False, "unknown": True}

UNCACHEABLE_S: Final = 120.0  # what was not kept is tried again after that; what Varnish takes ("hit-for-miss")
KEPT_S: Final = 3600.0  # a service that keeps some of its pages may keep one that nobody has asked for yet
SERVICE_ANSWERS: Final = 4  # pages of a service, none of them kept, from which on none is expected to be: few, not one
MARKS_MAX: Final = 1 << 15  # pages and paths that are remembered: some 4 MiB
SERVICES_MAX: Final = 1 << 13  # versions of services; some 2 MiB


class _Version:
    """What is known of a version of a service."""

    __slots__ = ("kept_until", "not_kept", "until")

    def __init__(self) -> None:
        self.kept_until = self.until = 0.0
        self.not_kept = 0  # answers since the last that was kept, or since nothing was known

    def lately(self, now: float) -> Lately:
        if now < self.kept_until:
            return "kept"
        return "not-kept" if self.not_kept >= SERVICE_ANSWERS and now < self.until else "unknown"


class Prospects:
    """What answers were lately, of all services."""

    def __init__(self) -> None:
        # By hashes of pages and paths: until when it counts that it was kept; below 0, that it was not. A hash that two
        # have in common costs a wait, or a run of a guest.
        self._marks: OrderedDict[int, float] = OrderedDict()
        self._versions: OrderedDict[tuple[str, str], _Version] = OrderedDict()

    def waits(self, key: Key, now: float) -> bool:
        """Whether a request is to wait for another's answer that is on its way, and others for its own."""
        lately = self.page(key, now)
        if lately == "unknown":
            lately = self._mark(_path(key), now)
        if lately == "unknown":
            version = self._versions.get(key[:2])
            lately = "unknown" if version is None else version.lately(now)
        return WAITS[lately]

    def page(self, key: Key, now: float) -> Lately:
        """What the last answer of a page was, if that is not long ago."""
        return self._mark(hash(key), now)

    def note(self, key: Key, kept: bool, now: float) -> None:
        """An answer for a page came, and was kept or was not to be."""
        until = now + (KEPT_S if kept else UNCACHEABLE_S)
        for name in (hash(key), _path(key)):
            self._marks[name] = until if kept else -until
            self._marks.move_to_end(name)
        while len(self._marks) > MARKS_MAX:
            self._marks.popitem(last=False)
        version = self._versions.get(key[:2])
        if version is None:
            version = self._versions[key[:2]] = _Version()
            if len(self._versions) > SERVICES_MAX:
                self._versions.popitem(last=False)
        self._versions.move_to_end(key[:2])
        if kept:
            version.kept_until, version.not_kept = until, 0
        else:
            version.not_kept = version.not_kept + 1 if now < version.until else 1
            version.until = until

    def _mark(self, name: int, now: float) -> Lately:
        mark = self._marks.get(name)
        if mark is None or now >= abs(mark):
            return "unknown"
        return "kept" if mark > 0 else "not-kept"


def _path(key: Key) -> int:
    service, digest, authority, target, _ = key
    return hash((service, digest, authority, target.partition("?")[0]))
