"""Header fields that belong to one connection, on either side of an edge."""

from typing import Final

# RFC 9110 section 7.6.1 and, for upgrades, RFC 7540 section 3.2.1; in lower case.
HOP_BY_HOP: Final = frozenset(
    b"connection http2-settings keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer"
    b" transfer-encoding upgrade".split()
)
