"""Places in options, as text: addresses with ports, Unix sockets, the origin's URL."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from vmimage.errors import OperatorError


def socket_path(option: str, text: str) -> Path:
    """The path of unix:PATH, ~ resolved.

    :raises OperatorError: ~ of a user without a home.
    """
    try:
        return Path(text.removeprefix("unix:")).expanduser()
    except RuntimeError as error:
        raise OperatorError(f"{option}: {error}") from None


def host_port(text: str) -> tuple[str, int]:
    """Host and port of ADDRESS:PORT, which `is_address` has let pass."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_address(text: str) -> bool:
    """Whether it is ADDRESS:PORT, an IPv6 address in brackets: without them it has no end (RFC 3986 section 3.2.2)."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    number = port.isascii() and port.isdigit() and int(port) <= 65535
    return bool(bare) and number and not set(bare) & set("[]/") and (":" in bare) == (bare != host)


def is_origin(text: str) -> bool:
    """Whether it is an http or https URL with a host, and no more than a path."""
    try:
        parts = urlsplit(text)
        return (
            re.fullmatch(r"https?://[^/?#\s]+[^?#\s]*", text) is not None and bool(parts.hostname) and parts.port != 0
        )
    except ValueError:
        return False
