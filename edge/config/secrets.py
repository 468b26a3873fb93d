"""Secrets that an operator gives services, as checked values: names, bounds, and how a machine is told them. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vmimage.abi import SECRETS_SIZE
from vmimage.manifest import is_name

COUNT_MAX: Final = 64  # of one service
VALUE_MAX: Final = 4096  # bytes: a private key in PEM has about 3,000
APART: Final = "@"  # parts a service from its tenant in a holder's name

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
# What a CGI program finds under such a name comes with its request (RFC 3875 section 4.1) or from the edge.
_OF_REQUESTS: Final = re.compile(
    r"(?:HTTP|NUNATAK|REMOTE|REQUEST|SERVER)_.*|AUTH_TYPE|CONTENT_(?:LENGTH|TYPE)|GATEWAY_INTERFACE"
    r"|PATH_(?:INFO|TRANSLATED)|QUERY_STRING|SCRIPT_NAME"
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Those of one service, of one tenant. What they hold is in no text that is made of this."""

    names: tuple[str, ...] = ()
    block: bytes = field(repr=False, default=b"")  # "NAME=VALUE\\0" repeated, in order of their names
    mark: str = ""  # another for other secrets, and empty for none


NONE: Final = Secrets()


def holder(service: str, tenant: str) -> str:
    """Who has secrets: SERVICE, or SERVICE@TENANT where the tenant is another. The name of a folder."""
    return service if tenant in ("", service) else f"{service}{APART}{tenant}"


def is_holder(name: str) -> bool:
    """Whether it can be one."""
    service, apart, tenant = name.partition(APART)
    return is_name(service) and (is_name(tenant) and tenant != service if apart else not tenant)


def check_name(name: str) -> None:
    """:raises ValueError: it cannot name a secret."""
    if not _NAME.fullmatch(name):
        raise ValueError("a name of 1 to 64 of A-Z a-z 0-9 _ that does not begin with a digit expected")
    if _OF_REQUESTS.fullmatch(name):
        raise ValueError("another name expected, this one is of requests (RFC 3875 section 4.1) or the edge's own")


def value_of(data: bytes) -> bytes:
    """A secret's value, from what a file or a pipe holds: a newline at its end is none of it.

    :raises ValueError: empty, too long, or no text without NUL.
    """
    value = data.removesuffix(b"\n").removesuffix(b"\r")
    if not 0 < len(value) <= VALUE_MAX:
        raise ValueError(f"a value of 1 to {VALUE_MAX} bytes expected, got {len(value)}")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise ValueError("a value in UTF-8 expected (base64 for other bytes)") from None
    if "\0" in text:
        raise ValueError("a value without NUL expected (base64 for such bytes)")
    return value


def block_of(values: Mapping[str, bytes]) -> bytes:
    """Names and checked values as a machine finds them.

    :raises ValueError: too many, or all together too long.
    """
    if len(values) > COUNT_MAX:
        raise ValueError(f"at most {COUNT_MAX} secrets of a service expected, got {len(values)}")
    block = b"".join(name.encode() + b"=" + value + b"\0" for name, value in sorted(values.items()))
    if len(block) > SECRETS_SIZE:
        raise ValueError(f"at most {SECRETS_SIZE} bytes of names and values of a service expected, got {len(block)}")
    return block
