"""What a guest's SUBREQUEST says, read and checked: method, URL and fields. Pure."""

from typing import Final

from edge.config.upstream_policy import UpstreamRefused
from edge.model.fields import HOP_BY_HOP

FIELDS_MAX: Final = 500  # of some bytes each: a block has 16 KiB at most
# Of one connection only, or ours to say.
_NOT_FORWARDED: Final = frozenset(name.decode() for name in HOP_BY_HOP) | {
    "content-length",
    "expect",
    "host",
    "cdn-loop",
}
METHOD_MAX: Final = 32  # characters; WebDAV's longest, BASELINE-CONTROL, has 16
_NOT_METHODS: Final = frozenset({"CONNECT", "TRACE", "TRACK"})  # which mean the connection itself, or echo credentials


def parse_subrequest(block: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    """Method, URL and fields of a SUBREQUEST's key-value block.

    :return: the URL as the guest says it; of the fields those that are forwarded, in their order.
    :raises UpstreamRefused: malformed, or with what could smuggle a second request into the connection.
    """
    parts = block.split(b"\0")
    if len(parts) < 6 or parts[-2:] != [b"", b""] or len(parts) % 2 or parts[0] != b"Method" or parts[2] != b"URL":
        raise UpstreamRefused("a key-value block that begins with Method and URL expected")
    try:
        texts = [part.decode("utf-8") for part in parts[:-2]]
    except UnicodeDecodeError:
        raise UpstreamRefused("UTF-8 expected") from None
    method, url = texts[1], texts[3]
    if not _is_token(method) or len(method) > METHOD_MAX or method.upper() in _NOT_METHODS:
        raise UpstreamRefused(f"a method that upstreams may be asked with expected, got {method[:METHOD_MAX]!r}")
    fields = list(zip(texts[4::2], texts[5::2], strict=True))
    if len(fields) > FIELDS_MAX:
        raise UpstreamRefused(f"at most {FIELDS_MAX} header fields expected, got {len(fields)}")
    for name, value in fields:
        if not _is_token(name) or any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
            raise UpstreamRefused(f"a header field expected, got {name[:50]!r}")
    return method, url, [(name, value) for name, value in fields if name.lower() not in _NOT_FORWARDED]


def _is_token(name: str) -> bool:
    """RFC 9110 section 5.6.2."""
    return bool(name) and name.isascii() and all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name)
