"""What a registry's WWW-Authenticate says, as far as a client that only reads needs it (RFC 6750, RFC 7617). Pure.

Of a Bearer challenge: whom to ask for a token, for what. Source: the token authentication of the distribution project.
"""

import json
import re
from typing import Any, Final, NamedTuple

from edge.config.places import is_origin
from vmimage.errors import OriginError

FIELD_MAX: Final = 4096  # characters of a challenge
TOKEN_MAX: Final = 16 << 10  # characters; those of large registries have some 3,000
ANSWER_MAX: Final = 64 << 10  # bytes of an answer with a token
LASTS_DEFAULT_S: Final = 60.0  # where nothing is said
LASTS_MAX_S: Final = 3600.0  # that is believed
MARGIN: Final = 0.1  # of its time, in which a token is as good as ended

_PARAMETER: Final = re.compile(r'\s*([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,|$)')
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)


class Challenge(NamedTuple):
    """What opens the door."""

    scheme: str  # "basic" or "bearer"
    realm: str = ""  # of "bearer": an http or https URL
    service: str = ""
    scope: str = ""


class Token(NamedTuple):
    """What was given, and for how long it serves."""

    text: str
    serves_s: float


def parse_challenge(field: str) -> Challenge | None:
    """What the field says; None where it is nothing that a client of registries knows."""
    scheme, _, rest = field[:FIELD_MAX].strip().partition(" ")
    if scheme.lower() == "basic":
        return Challenge("basic")
    if scheme.lower() != "bearer":
        return None
    said, at = dict[str, str](), 0
    while match := _PARAMETER.match(rest, at):
        said.setdefault(match[1].lower(), re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3])
        at = match.end()
    realm = said.get("realm", "")
    if not is_origin(realm.partition("?")[0]) or "@" in realm.split("/")[2]:
        return None
    return Challenge("bearer", realm, said.get("service", ""), said.get("scope", ""))


def parse_token(body: bytes) -> Token:
    """:raises OriginError: there is none in it."""
    try:
        answer: dict[str, Any] = json.loads(body)
        text = str(answer.get("token") or answer.get("access_token") or "")
        lasts = answer.get("expires_in")
    except (ValueError, AttributeError, RecursionError):
        text, lasts = "", None
    if len(text) > TOKEN_MAX or not _TOKEN.fullmatch(text):
        raise OriginError("a token expected of who gives the registry's tokens, got none")
    known = isinstance(lasts, int | float) and not isinstance(lasts, bool) and lasts > 0
    seconds = min(float(lasts), LASTS_MAX_S) if known and lasts is not None else LASTS_DEFAULT_S
    return Token(text, seconds * (1 - MARGIN))
