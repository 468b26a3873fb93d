"""`_headers` and `_redirects`: what a publisher says of paths, in the form that other hosts of static files read. Pure.

Redirects are for whole paths: what depends on a part of one is a program's work.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from origin.bake.assets.model import Fields
from origin.bake.assets.policy import EDGES
from origin.bake.assets.urls import Redirect
from vmimage.errors import PublisherError

STATUSES: Final = frozenset({301, 302, 303, 307, 308})
STATUS: Final = 302  # where none is said
LINES_MAX: Final = 10_000  # of either file
FIELDS_BYTES_MAX: Final = 16 << 10  # of one answer, a quarter of what it may have
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_RESERVED: Final = "%/?#[]@:!$&'()*+,;=-._~"
# What follows from the file, or is the edge's to say.
OURS: Final = frozenset(
    "accept-ranges age connection content-encoding content-length content-range date etag last-modified location server"
    " status trailer transfer-encoding upgrade".split()
)


class HeaderRule(NamedTuple):
    """Fields for all paths that a pattern fits; `*` stands for anything in it."""

    pattern: str
    fields: Fields


def read_headers(text: str) -> list[HeaderRule]:
    """The rules of a `_headers` file: a pattern, and below it lines `Name: value` that begin with a blank.

    :raises PublisherError: another form, or a field that is not a publisher's to say.
    """
    rules: list[HeaderRule] = []
    for number, line in _lines("_headers", text):
        if not line[0].isspace():
            if not line.startswith("/"):
                raise _wrong("_headers", number, "a path that begins with /", line)
            rules.append(HeaderRule(line.strip(), ()))
            continue
        name, colon, value = line.strip().partition(":")
        if not rules or not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value.strip()):
            raise _wrong("_headers", number, "a path, or a blank and `Name: value` below one", line)
        if name.lower() in OURS or name.lower().startswith("x-nunatak-"):
            raise _wrong("_headers", number, "a field that does not follow from the file", name)
        rules[-1] = HeaderRule(rules[-1].pattern, (*rules[-1].fields, (name, value.strip())))
    return rules


def with_headers(path: str, fields: Fields, rules: Sequence[HeaderRule]) -> Fields:
    """The fields of an answer for a path. Of one name the last rule counts, and rules go before `fields`.

    Who says something else to caches says it to edges, too.

    :raises PublisherError: too many bytes.
    """
    found = {name.lower(): (name, value) for name, value in fields}
    for rule in rules:
        if re.fullmatch(".*".join(map(re.escape, rule.pattern.split("*"))), path, re.DOTALL):
            said = {name.lower(): (name, value) for name, value in rule.fields}
            if "cache-control" in said:
                found.pop(EDGES[0].lower(), None)
            found |= said
    if sum(len(name) + len(value) for name, value in found.values()) > FIELDS_BYTES_MAX:
        raise PublisherError(
            f"_headers: at most {FIELDS_BYTES_MAX} bytes for a path expected, {path} has more: say less"
        )
    return tuple(found.values())


def read_redirects(text: str) -> dict[str, Redirect]:
    """The rules of a `_redirects` file, by percent-decoded path: `FROM TO [STATUS]` a line.

    :raises PublisherError: another form, or a pattern.
    """
    found: dict[str, Redirect] = {}
    for number, line in _lines("_redirects", text):
        words = line.split()
        if len(words) not in (2, 3) or not words[0].startswith("/"):
            raise _wrong("_redirects", number, "/FROM, a path or URL, and perhaps a status", line)
        start, target = unquote(words[0]), words[1]
        if "*" in start or "/:" in start:
            raise _wrong("_redirects", number, "a whole path (for patterns write a worker, with --assets)", words[0])
        is_path = target.startswith("/") and not target.startswith("//")
        if not is_path and not re.match(r"https?://[^/]", target):
            raise _wrong("_redirects", number, "a path that begins with one /, or an http URL", target)
        status = words[2] if len(words) == 3 else str(STATUS)
        if status not in map(str, STATUSES):
            raise _wrong("_redirects", number, f"a status of {', '.join(map(str, sorted(STATUSES)))}", status)
        if start in found:
            raise _wrong("_redirects", number, "one rule for a path", words[0])
        found[start] = Redirect(quote(target, safe=_RESERVED), int(status))
    return found


def _lines(file: str, text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something, with their numbers."""
    for number, line in enumerate(text.splitlines(), 1):
        if number > LINES_MAX:
            raise _wrong(file, number, f"at most {LINES_MAX} lines", line)
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line.rstrip()


def _wrong(file: str, number: int, expected: str, got: str) -> PublisherError:
    return PublisherError(f"{file} line {number}: {expected} expected, got {got.strip()[:80]!r}: correct the line")
