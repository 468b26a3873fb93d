"""Purges as an origin hands them to all its edges: which kept answers are void, and whether they may stand in.

What a selector means is the edge's business (`edge.cache.purges`); here is only checked that it can mean something.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from vmimage.canonical import is_name, refuse, require_object

Kind = Literal["all", "service", "uri", "prefix", "tag"]
SELECTOR_MAX: Final = 2048  # characters
PURGES_MAX: Final = 64  # of one event

# A URL with its host, or with a slash first a path on any host; visible ASCII, as it stands in a request.
_HOST: Final = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9][A-Za-z0-9._-]{0,252})(?::[0-9]{1,5})?"
_URL: Final = re.compile(rf"(?:https?://)?{_HOST}(?:[/?][!-~]*)?", re.ASCII)
_PATH: Final = re.compile(r"/[!-~]*", re.ASCII)
_TAG: Final = re.compile(r"[!-~]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Purge:
    """What is void. `service` is empty for those of all services; `selector` a URL, the beginning of one, or a tag."""

    kind: Kind
    service: str = ""
    selector: str = ""
    soft: bool = False  # stale, and not gone

    def to_json(self) -> dict[str, Any]:
        """Its form in an event."""
        return {"kind": self.kind, "selector": self.selector, "service": self.service, "soft": self.soft}


def parse_purges(value: object) -> tuple[Purge, ...]:
    """The purges of one event.

    :raises FormatError: none, too many, or one that can mean nothing.
    """
    if not isinstance(value, list) or not 0 < len(value) <= PURGES_MAX:
        refuse("purges", f"a list of 1 to {PURGES_MAX}", value)
    return tuple(map(_parse, value))


def host_of(purge: Purge) -> str:
    """The host, in lower case and without its port, that a purge by URL names; empty where it is for any host."""
    if purge.kind not in ("uri", "prefix") or purge.selector.startswith("/"):
        return ""
    return urlsplit(purge.selector if "//" in purge.selector else f"//{purge.selector}").hostname or ""


def _parse(value: object) -> Purge:
    fields = require_object("purge", value, {"kind", "selector", "service", "soft"})
    kind, service, selector, soft = (fields[name] for name in ("kind", "service", "selector", "soft"))
    if kind not in get_args(Kind) or type(soft) is not bool:
        refuse("purge", f"one of {get_args(Kind)}, soft or not", fields)
    if not isinstance(service, str) or (service and not is_name(service)) or (kind == "all" and service):
        refuse("purge service", "the name of a service, or none", service)
    if kind == "service" and not service:
        refuse("purge service", "the name of a service", service)
    if not isinstance(selector, str) or len(selector) > SELECTOR_MAX or not _fits(kind, selector):
        refuse(f"purge {kind}", "a URL, the beginning of one, or a tag, as its kind has it", selector)
    return Purge(kind, service, selector, soft)


def _fits(kind: Kind, selector: str) -> bool:
    match kind:
        case "all" | "service":
            return not selector
        case "uri":
            return _URL.fullmatch(selector) is not None
        case "prefix":
            return _URL.fullmatch(selector) is not None or _PATH.fullmatch(selector) is not None
        case "tag":
            return _TAG.fullmatch(selector) is not None
