"""Header fields that belong to one connection, on either side of an edge."""

from collections.abc import Iterable, Sequence
from typing import Final

# RFC 9110 section 7.6.1 and, for upgrades, RFC 7540 section 3.2.1; in lower case.
HOP_BY_HOP: Final = frozenset(
    b"connection http2-settings keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer"
    b" transfer-encoding upgrade".split()
)


_OF_EACH: Final = frozenset({b"keep-alive", b"close"})  # options of connections that name no field to drop


def end_to_end(fields: Sequence[tuple[bytes, bytes]]) -> Sequence[tuple[bytes, bytes]]:
    """The fields of a request without those that Connection lists; the same sequence where it lists none."""
    options = [value for name, value in fields if len(name) == len(b"connection") and name.lower() == b"connection"]
    dropped = listed(options) - _OF_EACH
    return [pair for pair in fields if pair[0].lower() not in dropped] if dropped else fields


def listed(values: Iterable[bytes]) -> frozenset[bytes]:
    """The fields that Connection lists, which are its connection's too (RFC 9110 section 7.6.1); in lower case."""
    return frozenset(name.strip(b" \t").lower() for value in values for name in value.split(b",")) - {b""}
