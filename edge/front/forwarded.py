"""The field Forwarded (RFC 7239): who passed a request on, element by element. Strict and pure.

What is not exactly in the grammar of section 4 is refused as a whole: two who read it in two ways would see two
clients. Where that grammar has no whitespace there may be none.
"""

import re
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

from edge.front.reached import plain_address
from edge.model.routes import host_name

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2
_QUOTED: Final = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'  # section 5.6.4
_PAIR: Final = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})")
_NEXT: Final = re.compile(r";|[ \t]*,[ \t]*|\Z")
_ESCAPE: Final = re.compile(r"\\(.)")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")  # RFC 3986 section 3.1
_PORT: Final = r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
# RFC 7239 section 6: an address, or that it is not known, or not told.
_NODE: Final = re.compile(rf"(?:([0-9.]{{7,15}})|\[([0-9A-Fa-f:.]{{2,45}})\]|unknown|_[A-Za-z0-9._-]+){_PORT}", re.I)


class Element(NamedTuple):
    """What one proxy says of whom it heard."""

    client: str | None = None  # an address; None: not known, not told, or not said
    proto: str = ""  # in lower case
    host: str = ""  # as a Host field would have it


def parse_forwarded(lines: Sequence[str]) -> list[Element] | None:
    """All elements of the fields of one request, in their order; None where they are not what RFC 7239 says."""
    found: list[Element] = []
    for line in lines:
        elements = _elements(line)
        if elements is None:
            return None
        found += elements
    return found


def _elements(line: str) -> list[Element] | None:
    found: list[Element] = []
    said: dict[str, str] = {}
    text, at = line.strip(" \t"), 0
    while True:
        pair = _PAIR.match(text, at)
        if pair is not None:
            name, value = pair[1].lower(), pair[2]
            if name in said:  # section 4: once in an element
                return None
            said[name] = _ESCAPE.sub(r"\1", value[1:-1]) if value.startswith('"') else value
            at = pair.end()
        after = _NEXT.match(text, at)
        if after is None:
            return None
        at = after.end()
        if after[0] != ";":
            element = _element(said) if said else None
            if element is None:  # lists may have empty members (RFC 9110 section 5.6.1); a proxy writes none
                return None
            found.append(element)
            said = {}
            if not after[0]:
                return found


def _element(said: dict[str, str]) -> Element | None:
    """Pairs as an element; None where one of those that RFC 7239 knows is malformed."""
    proto, host = said.get("proto", ""), said.get("host", "")
    nodes = [_NODE.fullmatch(said[name]) for name in ("for", "by") if name in said]
    if not all(nodes) or (proto and not _SCHEME.fullmatch(proto)) or (host and not host_name(host)):
        return None
    node = nodes[0] if "for" in said else None
    text = (node[1] or node[2]) if node is not None else None
    client = _address(text) if text else None
    if text and client is None:
        return None
    return Element(client, proto.lower(), host)


def _address(text: str) -> str | None:
    """An address as its family writes it; None for what is none."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        return plain_address(socket.inet_ntop(family, socket.inet_pton(family, text)))
    except OSError:
        return None
