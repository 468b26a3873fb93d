"""What becomes of a request for which an answer is kept: a table over its freshness, and what it asks of it. Pure."""

import re
from typing import Final, Literal, NamedTuple

from edge.cache import fields
from edge.cache.storing import Kept

Fate = Literal["good", "softened", "gone"]  # what purges have made of a kept answer
Freshness = Literal["none", "gone", "fresh", "grace", "stale"]
Use = Literal["serve", "serve_and_refresh", "validate", "forward"]
Forward = Literal["uri-miss", "vary-miss", "stale", "bypass", "method"]  # `fwd` of RFC 9211 section 2.2

# What is done, by how fresh the answer is that is kept, and whether it names something to validate it by.
USE: Final[dict[tuple[Freshness, bool], Use]] = {
    ("none", False): "forward",
    ("gone", False): "forward",
    ("gone", True): "forward",
    ("fresh", False): "serve",
    ("fresh", True): "serve",
    # stale, within `stale-while-revalidate`: who asks does not wait (RFC 5861 section 3)
    ("grace", False): "serve_and_refresh",
    ("grace", True): "serve_and_refresh",
    ("stale", False): "forward",
    ("stale", True): "validate",
}
# Answers for which a stale one may stand in (RFC 5861 section 4); the edge's own are judged by their status as well.
ERRORS: Final = frozenset({500, 502, 503, 504})

_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)


def stale_for_s(kept: Kept, held_s: float, softened_s: float | None) -> float:
    """For how long an answer has been stale; negative while it is fresh.

    :param held_s: since it came.
    :param softened_s: since it was made stale by a purge; None if it was not.
    """
    over = kept.age_s + held_s - kept.lifetime_s
    return over if softened_s is None else max(over, softened_s)


def freshness(kept: Kept, stale_s: float, fate: Fate) -> Freshness:
    """How fresh an answer is that has been stale for so long."""
    if fate == "gone":
        return "gone"
    if stale_s < 0 and not kept.validates_always:
        return "fresh"
    return "grace" if 0 <= stale_s < kept.while_revalidate_s else "stale"


def may_stand_in(kept: Kept, stale_s: float, fate: Fate) -> bool:
    """Whether an answer may be served because its guest cannot give another (RFC 5861 section 4)."""
    return fate != "gone" and not kept.validates_always and stale_s < kept.if_error_s


def is_of_use(kept: Kept, stale_s: float, fate: Fate) -> bool:
    """Whether an answer may still serve, stand in, or be validated."""
    if fate == "gone":
        return False
    serves = not kept.validates_always and stale_s < max(0, kept.while_revalidate_s, kept.if_error_s)
    return serves or bool(kept.entity_tag or kept.last_modified)


def not_modified(kept: Kept, if_none_match: str, if_modified_since: str, date: str) -> bool:
    """Whether the client has what is kept (RFC 9110 section 13.2.2): If-None-Match comes first.

    :param date: of what is kept, which counts where it does not say when it was modified (RFC 9111 section 4.3.2).
    """
    if if_none_match:
        if if_none_match.strip() == "*":
            return True
        return bool(kept.entity_tag) and fields.opaque(kept.entity_tag) in fields.entity_tags(if_none_match)
    since = fields.date(if_modified_since) if if_modified_since else None
    modified = fields.date(kept.last_modified or date) if since is not None else None
    return since is not None and modified is not None and modified <= since


class Part(NamedTuple):
    """A part of a body, `start` up to and without `end`; none of it is there where `satisfiable` is False."""

    start: int
    end: int
    satisfiable: bool


def part(kept: Kept, size: int, range_: str, if_range: str) -> Part | None:
    """The part that a request wants; None for all, also where it wants several (RFC 9110 section 14.2).

    :param size: of the body in bytes.
    """
    match = _RANGE.fullmatch(range_.strip()) if range_ else None
    if match is None or (if_range and not _is_same(kept, if_range)):
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < int(first):
            return None
    return Part(start, end, start < end)


def _is_same(kept: Kept, if_range: str) -> bool:
    """RFC 9110 section 13.1.5: strong comparison of entity tags, or the very same date."""
    if if_range.startswith('"'):
        return if_range == kept.entity_tag
    return not if_range.startswith("W/") and if_range == kept.last_modified != ""
