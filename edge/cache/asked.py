"""What a request says to caches, read in one pass over its fields; and what tells it from others. Pure.

An answer may depend on everything that its guest sees of a request. What a request is for is in its key: service,
version, host and target as the guest sees them, the port on which it came, what trusted proxies say of the URL that the
client asked for, and the fields with which frameworks are told that another one is meant. What else it may depend on
the answer says itself, with Vary. Fields that Connection lists no guest sees, so they are none of it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from edge.model.fields import end_to_end
from edge.model.routes import host_name

Key = tuple[str, str, str, str, tuple[bytes, ...]]  # service, digest of its image, authority, target, overrides
Variant = tuple[bytes, ...]  # values of the fields that Vary lists, in its order
Where = tuple[str, str]  # a service, and a URI as purges name it

# Fields that make a program answer for another URL or method than it was asked for: with one of them in a request, an
# answer that is kept for those without it would be poisoned (Kettle, "Practical web cache poisoning", 2018).
OVERRIDES: Final = frozenset(
    b"x-original-url x-rewrite-url x-original-uri x-http-method-override x-http-method x-method-override x-host"
    b" x-wap-profile base-url".split()
)
_READ: Final = frozenset(
    b"range if-range if-none-match if-modified-since if-match if-unmodified-since cache-control authorization".split()
)
_CONNECTION: Final = b"connection"  # what it lists no guest sees
_SORTED: Final = frozenset({b"accept-encoding", b"accept-language", b"accept-charset"})  # their order says nothing


@lru_cache(maxsize=1024)
def _kind(name: bytes) -> bytes:
    """A field's name in lower case if a cache looks at it, with a mark before that of an override; else nothing."""
    lower = name.lower()
    if lower in OVERRIDES:
        return b"=" + lower
    return lower if lower in _READ or lower == _CONNECTION else b""


class Asked:
    """A request as caches see it. Names of fields are in lower case, values as they came, those of a name joined."""

    __slots__ = ("_where", "fields", "headers", "key", "method")

    def __init__(
        self,
        method: str,
        headers: Sequence[tuple[bytes, bytes]],
        service: str,
        digest: str,
        authority: str,
        target: str,
        seen: tuple[bytes, ...] = (),
    ) -> None:
        """:param authority: as the service sees it. :param target: in origin-form.
        :param seen: what it is told of the URL by whom the edge believes.
        """
        self.method, self.headers = method, headers
        self.fields, overrides = _read(headers)
        if self.fields.pop(_CONNECTION, None) is not None:
            self.headers = end_to_end(headers)
            if self.headers is not headers:
                self.fields, overrides = _read(self.headers)
                self.fields.pop(_CONNECTION, None)
        self.key: Key = (service, digest, authority, target, seen + overrides)
        self._where: Where | None = None

    @property
    def where(self) -> Where:
        """The service, and the page as purges name it."""
        where = self._where
        if where is None:
            service, _, authority, target, _ = self.key
            where = self._where = service, f"{host_name(authority) or ''}{target}"
        return where

    def text(self, name: bytes) -> str:
        """A field that caches look at; empty where it is not there."""
        return self.fields[name].decode("latin-1") if name in self.fields else ""

    @property
    def wants_part(self) -> bool:
        """Whether a part is asked for, whatever the client has."""
        if b"range" not in self.fields or self.method != "GET" or not _OTHER_CONDITIONS.isdisjoint(self.fields):
            return False
        return self.fields[b"range"][:6].lower() == b"bytes="

    def for_part(self) -> "Asked":
        """The same request in the place of parts, which are kept beside their whole for who asks for the same."""
        service, digest, authority, target, overrides = self.key
        part = Asked(self.method, self.headers, service, digest, authority, target)
        part.key = (service, digest, authority, target, (*overrides, _PART))
        return part

    def variant(self, vary: tuple[bytes, ...]) -> Variant:
        """What this request says in the fields that an answer depends on, so written that what means the same is."""
        return tuple([_value(name, self.headers) for name in vary]) if vary else ()


def _read(headers: Sequence[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], tuple[bytes, ...]]:
    """The fields that caches look at, by name, and the overrides with their values."""
    fields: dict[bytes, bytes] = {}
    overrides: tuple[bytes, ...] = ()
    for name, value in headers:
        kind = _kind(name)
        if kind:
            if kind.startswith(b"="):
                overrides += (kind, value)
            else:
                fields[kind] = b"%b, %b" % (fields[kind], value) if kind in fields else value
    return fields, overrides


_OTHER_CONDITIONS: Final = _READ - {b"cache-control", b"authorization", b"range"}
_PART: Final = b"=part"  # no override has this name


def _value(name: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    lines = [value for field, value in headers if len(field) == len(name) and field.lower() == name]
    members = [member.strip(b" \t") for member in b",".join(lines).split(b",")]
    if name in _SORTED:
        members = sorted(member.lower().replace(b" ", b"") for member in members)
    return b",".join(members) if lines else b"\n"  # which no value has
