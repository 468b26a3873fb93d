"""Fields that speak to caches, as values: directives, dates, ages, entity tags, tags. Pure.

Each parser is as strict as its specification where leniency would keep an answer that nobody said to keep, and lenient
where strictness would: a Cache-Control that cannot be read in part still says `no-store` in the other.
"""

import calendar
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import http_sf

AGE_MAX_S: Final = 1 << 31  # RFC 9111 section 1.2.2: what is greater counts as this
TAGS_MAX: Final = 256  # of one answer; Cloudflare takes 1,000, RFC 9875 asks for 32
TAG_MAX: Final = 128  # characters of one; RFC 9875 asks for 32
# Those of a Structured Field that stand for a time; all others are flags, or lists of names in quotes.
_TIMES: Final = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})
_NAMES: Final = frozenset({"private", "no-cache"})

# A directive of Cache-Control (RFC 9111 section 5.2), its value a quoted string or anything up to the next comma.
_DIRECTIVE: Final = re.compile(r"""([^\s,="]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^,"]*)))?[^,"]*""")
# What nearly every targeted field is made of: keys alone, and keys with a whole number.
_PLAIN_TARGET: Final = re.compile(
    r"[a-z*][a-z0-9_.*-]*(?:=-?[0-9]{1,15})?(?:[ \t]*,[ \t]*[a-z*][a-z0-9_.*-]*(?:=-?[0-9]{1,15})?)*"
)

_MONTHS: Final = {
    name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
_DAY: Final = "(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY: Final = "(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_TIME: Final = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_DATES: Final = tuple(  # RFC 9110 section 5.6.7; names in any case, as all other caches take them
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        f"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        f"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        f"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
_TAG: Final = re.compile(r"[!-~]+")
_ENTITY_TAG: Final = re.compile(r'(?:W/)?"[^"]*"|[^\s,"]+')

Directives = Mapping[str, str | None]  # by name in lower case; None for one without a value; the first of a name counts


@lru_cache(maxsize=1024)
def cache_control(value: str) -> Directives:
    """The directives of a Cache-Control field, its lines joined by commas."""
    found: dict[str, str | None] = {}
    for match in _DIRECTIVE.finditer(value):  # one pass, however many there are: a client writes such a field, too
        name, quoted, plain = match.groups("")
        has_value = value.startswith("=", match.end(1))
        found.setdefault(name.lower(), (quoted or plain.strip()) if has_value else None)
    return found


@lru_cache(maxsize=1024)
def targeted(value: str) -> Directives | None:
    """The directives of a targeted field (RFC 9213); None for what says nothing, or is no such field: it is ignored.

    One whose known directives have values of another type counts as none (RFC 9213 section 2.1).
    """
    text = value.strip(" \t")
    if not text.isascii():
        return None
    if _PLAIN_TARGET.fullmatch(text):
        pairs = (member.strip(" \t").partition("=") for member in text.split(","))
        found = {name: number if equals else None for name, equals, number in pairs}  # the last of a name counts
        fits = all((number is not None) == (name in _TIMES) for name, number in found.items() if _is_known(name))
        return found if found and fits else None
    try:
        members = http_sf.parse(text.encode(), tltype="dictionary")
    except ValueError:
        return None
    return _typed(members) if isinstance(members, dict) else None


def _is_known(name: str) -> bool:
    return name in _TIMES or name in _NAMES or name in ("no-store", "must-revalidate", "public", "proxy-revalidate")


def _typed(members: Mapping[str, object]) -> Directives | None:
    found: dict[str, str | None] = {}
    for name, member in members.items():
        item = member[0] if isinstance(member, tuple) else member
        if name in _TIMES:
            if type(item) is not int:
                return None
            found[name] = str(item)
        elif name in _NAMES and type(item) is str:
            found[name] = item
        elif item is True:
            found[name] = None
        elif _is_known(name):
            return None
    return found or None


def seconds(directives: Directives, name: str) -> int | None:
    """A directive's time; None where it is not there. What is no time is none at all: 0 (RFC 9111 section 4.2.1)."""
    if name not in directives:
        return None
    value = directives[name] or ""
    return min(int(value[:16]), AGE_MAX_S) if value.isascii() and value.isdigit() else 0


def names(value: str | None) -> frozenset[bytes]:
    """The fields that a qualified directive lists, in lower case; none for one without a value."""
    return frozenset(name.strip().lower().encode("latin-1") for name in (value or "").split(",")) - {b""}


@lru_cache(maxsize=1024)
def date(value: str) -> int | None:
    """An HTTP date (RFC 9110 section 5.6.7) in seconds since 1970; None for what is none."""
    for form in _DATES:
        match = form.fullmatch(value.strip(" \t"))
        if match is not None:
            year, month = int(match["year"]), _MONTHS[match["month"].lower()]
            if len(match["year"]) == 2:
                year += 2000 if year < 77 else 1900  # 50 years from now at most, and that until 2027
            moment = year, month, int(match["day"]), int(match["hour"]), int(match["minute"]), int(match["second"])
            return calendar.timegm(moment) if _is_moment(*moment) else None
    return None


def _is_moment(year: int, month: int, day: int, hour: int, minute: int, second: int) -> bool:
    return 1 <= day <= calendar.monthrange(year, month)[1] and hour < 24 and minute < 60 and second <= 60 and year >= 1


def age(value: str) -> int:
    """What an Age field says, the first number of a list; 0 for what is no number (RFC 9111 section 5.1)."""
    first = value.partition(",")[0].strip(" \t")
    return min(int(first[:16]), AGE_MAX_S) if first.isascii() and first.isdigit() else 0


def entity_tags(value: str) -> list[str]:
    """The entity tags of If-None-Match, each without its mark of weakness: how it compares them."""
    return [opaque(tag) for tag in _ENTITY_TAG.findall(value)]


def opaque(tag: str) -> str:
    """An entity tag without its mark of weakness (RFC 9110 section 8.8.3)."""
    return tag.removeprefix("W/")


def vary(values: Iterable[str]) -> tuple[bytes, ...]:
    """The fields that Vary lists, in lower case and in order, each once; `*` stands for itself."""
    listed = {name.strip(" \t").lower() for value in values for name in value.split(",")} - {""}
    return tuple(name.encode("latin-1") for name in sorted(listed))


def tags(groups: str, listed: str, spaced: str) -> tuple[str, ...]:
    """An answer's tags, from Cache-Groups (RFC 9875), Cache-Tag (by commas), and Surrogate-Key (by blanks).

    What is no tag, or is too long or too many, is left out. All compare in lower case, as those of other networks do.
    """
    found = [*groups_of(groups), *(tag.strip(" \t") for tag in listed.split(",")), *spaced.split()]
    fit = dict.fromkeys(tag.lower() for tag in found if is_tag(tag))
    return tuple(fit)[:TAGS_MAX]


def is_tag(tag: str) -> bool:
    """Whether an answer may carry a tag, and a purge name it."""
    return len(tag) <= TAG_MAX and _TAG.fullmatch(tag) is not None


def groups_of(value: str) -> list[str]:
    """The groups that a field of RFC 9875 lists; none where it is no list of strings."""
    if not value:
        return []
    try:
        members = http_sf.parse(value.encode("latin-1"), tltype="list")
    except ValueError:
        return []
    items = (
        [member[0] if isinstance(member, tuple) else member for member in members] if isinstance(members, list) else []
    )
    return [item for item in items if type(item) is str]
