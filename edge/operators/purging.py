"""Purges as operators and programs write them: in a query, or as JSON of draft-nottingham-http-invalidation. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard
from urllib.parse import parse_qs, urlsplit

from edge.cache import fields
from edge.cache.purges import Kind, Purge
from edge.model.flow import ClientError
from edge.model.routes import host_name
from vmimage.manifest import is_name

BODY_MAX: Final = 64 << 10  # bytes of a call
SELECTORS_MAX: Final = 256  # of a call; who has more purges a tag
SELECTOR_MAX: Final = 8190  # bytes, as a request's target may have
_TYPES: Final[Mapping[str, Kind]] = {"uri": "uri", "uri-prefix": "prefix", "origin": "prefix", "group": "tag"}


def purges_of(query: str) -> list[Purge]:
    """What a query names: `all`, or `service`, `uri`, `prefix` and `tag`, each of them several times; `soft`.

    Tags are those of `service` if that is named, else of all services.

    :raises ClientError: nothing, or what cannot be purged.
    """
    try:
        asked = parse_qs(query, keep_blank_values=True, max_num_fields=SELECTORS_MAX)
    except ValueError:  # more than those
        raise _bad() from None
    if asked.keys() - {"all", "service", "uri", "prefix", "tag", "soft"}:
        raise _bad()
    soft, services = "soft" in asked, asked.get("service", [])
    if not all(map(is_name, services)) or len(services) > 1:
        raise _bad()
    service = services[0] if services else ""
    found = [Purge("uri", "", _uri(text), soft) for text in asked.get("uri", [])]
    found += [Purge("prefix", "", _uri(text), soft) for text in asked.get("prefix", [])]
    found += [Purge("tag", service, _tag(text), soft) for text in asked.get("tag", [])]
    if "all" in asked:
        found.append(Purge("all", soft=soft))
    elif service and not found:
        found.append(Purge("service", service, soft=soft))
    if not found:
        raise _bad()
    return found


def invalidations_of(body: bytes) -> list[Purge]:
    """What an event of the draft names; without `purge` true answers become stale.

    :raises ClientError: no such event.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise _bad() from None
    kind, selectors = (event.get("type"), event.get("selectors")) if isinstance(event, dict) else (None, None)
    if not isinstance(kind, str) or kind not in _TYPES or not _are_texts(selectors):
        raise _bad()
    soft = event.get("purge") is not True
    read = _tag if kind == "group" else _uri
    return [Purge(_TYPES[kind], "", read(text), soft) for text in selectors]


def purge_of(kind: Kind, service: str, selector: str, soft: bool) -> Purge:
    """A purge of selectors as people write them: a URL, the beginning of one or of a path, a tag, or "".

    :raises ClientError: it cannot be one.
    """
    match kind:
        case "uri":
            selector = _uri(selector)
        case "prefix" if not selector.startswith("/"):
            selector = _uri(selector)
        case "tag":
            selector = _tag(selector)
    return Purge(kind, service, selector, soft)


def _are_texts(selectors: Any) -> TypeGuard[list[str]]:
    if not isinstance(selectors, list) or not 0 < len(selectors) <= SELECTORS_MAX:
        return False
    return all(isinstance(text, str) for text in selectors)


def _uri(text: str) -> str:
    """A URI as kept answers are named: its host without port, and its target."""
    if len(text) > SELECTOR_MAX:
        raise _bad()
    try:
        parts = urlsplit(text if "//" in text.partition("?")[0] else f"//{text}")
        host = host_name(parts.netloc)
    except ValueError:
        host = None
    if not host or parts.scheme not in ("", "http", "https"):
        raise _bad()
    return f"{host}{parts.path or '/'}{'?' + parts.query if parts.query else ''}"


def _tag(text: str) -> str:
    if not fields.is_tag(text):
        raise _bad()
    return text.lower()


def _bad() -> ClientError:
    return ClientError("bad_purge")


def shown(purges: Sequence[tuple[int, Purge]]) -> list[dict[str, Any]]:
    """Purges with their numbers, for an answer."""
    return [{"number": number, **purge._asdict()} for number, purge in purges]
