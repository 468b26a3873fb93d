"""Kept answers as bytes, and answers of guests as caching reads them: whole, in part, or that a client has it. Pure."""

from functools import lru_cache
from typing import Final, NamedTuple

from edge.cache import fields, reuse
from edge.cache.asked import Asked
from edge.cache.responses import Entry
from edge.cache.storing import SPEAKING, Fields, Kept
from edge.front import cgi
from edge.model.fields import HOP_BY_HOP, listed

_MEMO_BLOCK_MAX: Final = 1024  # bytes; as `cgi` has it
_READ: Final = SPEAKING | {b"cache-group-invalidation", b"content-location"}
_DATE_START: Final = len("Date: ")  # of the line that an edge makes
_DATE_END: Final = len("Date: Thu, 01 Jan 1970 00:00:00 GMT")
# Of a 304 (RFC 9110 section 15.4.5): what describes a body that is not there.
_OF_BODY: Final = frozenset(b"content-type content-encoding content-language content-range content-md5".split())
_OF_ONE_ANSWER: Final = frozenset({b"age", b"date"})  # what a 304 does not take over from the answer that it is about
_NOT_MODIFIED: Final = 304


def said_fields(block: bytes) -> Fields:
    """What a guest's head says to caches. Fields that Connection lists are none of it (RFC 9110 section 7.6.1)."""
    return _remembered(block) if len(block) <= _MEMO_BLOCK_MAX else _said_fields(block)


def _said_fields(block: bytes) -> Fields:
    parts = block[:-1].split(b"\0")
    pairs = [(name.lower(), value) for name, value in zip(parts[2:-1:2], parts[3:-1:2], strict=True)]
    dropped = HOP_BY_HOP | listed(value for name, value in pairs if name == b"connection")
    return tuple((name, value) for name, value in pairs if name in _READ and name not in dropped)


_remembered: Final = lru_cache(maxsize=1024)(_said_fields)


def kept_fields(lines: bytes, kept: Kept) -> bytes:
    """The lines of a head that are kept of it.

    :param lines: each ended by CR LF.
    """
    return _without(lines, kept.left_out)


def _without(lines: bytes, names: frozenset[bytes]) -> bytes:
    return b"".join([line for line in lines.splitlines(True) if line.partition(b":")[0].lower() not in names])


class Served(NamedTuple):
    """A kept answer for one request."""

    status: int
    head: bytes  # up to Age, with the line that frames the body
    body: bytes


def served(asked: Asked, entry: Entry, now: float) -> Served:
    """A kept answer for a request, whole, in part, or that its client has it."""
    code, lines, body = entry.status, entry.fields, entry.body
    if asked.fields and code == 200:
        conditions = asked.text(b"if-none-match"), asked.text(b"if-modified-since")
        if reuse.not_modified(entry.kept, *conditions, entry.date[_DATE_START:_DATE_END].decode("latin-1")):
            return _served(_NOT_MODIFIED, entry, _without(lines, _OF_BODY), b"", b"", now)
        part = reuse.part(entry.kept, len(body), asked.text(b"range"), asked.text(b"if-range"))
        if part is not None and asked.method == "GET":
            return _partial(entry, lines, part, now)
    length = cgi.length_line(asked.method, code, len(body) if code != _NOT_MODIFIED else None, len(body))
    return _served(code, entry, lines, length, b"" if cgi.without_body(asked.method, code) else body, now)


def _partial(entry: Entry, lines: bytes, part: reuse.Part, now: float) -> Served:
    size = len(entry.body)
    if not part.satisfiable:
        length = b"Content-Range: bytes */%d\r\nContent-Length: 0\r\n" % size
        return _served(416, entry, _without(lines, _OF_BODY), length, b"", now)
    length = b"Content-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n" % (
        part.start,
        part.end - 1,
        size,
        part.end - part.start,
    )
    return _served(206, entry, lines, length, entry.body[part.start : part.end], now)


def _served(code: int, entry: Entry, lines: bytes, length: bytes, body: bytes, now: float) -> Served:
    head = b"%b%b%b%bAge: %d\r\n" % (cgi.STATUS_LINES[code], entry.date, lines, length, entry.age_s(now))
    return Served(code, head, body)


class Freshened(NamedTuple):
    """A kept answer with what a 304 says of it."""

    said: Fields
    fields: bytes


def freshened(entry: Entry, said: Fields, lines: bytes) -> Freshened:
    """Take over the fields of a 304 (RFC 9111 section 3.2), which replace those of the same names.

    :param said: by the 304, to caches. :param lines: of the 304.
    """
    new = {line.partition(b":")[0].lower() for line in lines.splitlines()} | {name for name, _ in said}
    kept = tuple((name, value) for name, value in entry.said if name not in new | _OF_ONE_ANSWER)
    return Freshened(kept + tuple(said), _without(entry.fields, frozenset(new)) + lines)


def is_other(entry: Entry, said: Fields) -> bool:
    """Whether a 304 is about another answer than the one that is kept, by its entity tag."""
    tag = next((value.decode("latin-1") for name, value in said if name == b"etag"), "")
    return bool(tag) and fields.opaque(tag) != fields.opaque(entry.kept.entity_tag)
