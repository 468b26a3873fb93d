"""Header fields that belong to one connection, on either side of an edge."""

from collections.abc import Iterable
from typing import Final

# RFC 9110 section 7.6.1 and, for upgrades, RFC 7540 section 3.2.1; in lower case.
HOP_BY_HOP: Final = frozenset(
    b"connection http2-settings keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer"
    b" transfer-encoding upgrade".split()
)


def listed(values: Iterable[bytes]) -> frozenset[bytes]:
    """The fields that Connection lists, which are its connection's too (RFC 9110 section 7.6.1); in lower case."""
    return frozenset(name.strip(b" \t").lower() for value in values for name in value.split(b",")) - {b""}
