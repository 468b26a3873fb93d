"""A kept answer as bytes, for the disk, and back: a head in JSON, its length before it, then the body. Pure.

Bytes of fields are in the head as texts of the same code points. What is read has passed a keyed check, so it is what
an edge wrote; it still says itself which request it is an answer to, and one to another request is none.
"""

import json
from typing import Any, Final

from edge.cache.asked import Asked
from edge.cache.purges import Purge, Purges
from edge.cache.responses import Entry
from edge.cache.storing import Kept

_LENGTH_BYTES: Final = 4


def to_bytes(entry: Entry, came_s: float) -> bytes:
    """An answer.

    :param came_s: when it came, in cache time (`edge.cache.moments`).
    """
    service, digest, authority, target, overrides = entry.key
    kept = entry.kept
    head = {
        "key": [service, digest, authority, target, _texts(overrides)],
        "variant": _texts(entry.variant),
        "tenant": entry.tenant,
        "run": entry.run,
        "came": came_s,
        "uri": entry.named.uri,
        "status": entry.status,
        "date": _text(entry.date),
        "fields": _text(entry.fields),
        "said": [[_text(name), _text(value)] for name, value in entry.said],
        "kept": [*kept[:5], _texts(kept.vary), list(kept.tags), kept.entity_tag, kept.last_modified],
        "left_out": sorted(_texts(kept.left_out)),
    }
    text = json.dumps(head, separators=(",", ":")).encode("ascii")
    return b"%b%b%b" % (len(text).to_bytes(_LENGTH_BYTES, "little"), text, entry.body)


def from_bytes(data: bytes, asked: Asked, tenant: str, purges: Purges, shift_s: float) -> Entry | None:
    """The answer that `to_bytes` was given, if it is one to this request, of a service of this tenant.

    :param shift_s: cache time less loop time.
    :raises ValueError: it is none at all.
    """
    size = int.from_bytes(data[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + size
    try:
        head = json.loads(data[_LENGTH_BYTES:start])
        service, digest, authority, target, overrides = head["key"]
        key = (service, digest, authority, target, _all_bytes(overrides))
        kept = _kept(head["kept"], head["left_out"])
        if key != asked.key or head["tenant"] != tenant or _all_bytes(head["variant"]) != asked.variant(kept.vary):
            return None
        said = tuple((_bytes(name), _bytes(value)) for name, value in head["said"])
        entry = Entry(
            asked,
            tenant,
            head["run"],
            kept,
            head["status"],
            _bytes(head["date"]),
            _bytes(head["fields"]),
            data[start:],
            head["came"] - shift_s,
            head["uri"],
            purges,
            said,
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"a kept answer expected: {error!r}") from None
    entry.wanted = entry.on_disk = True
    return entry


def _kept(values: list[Any], left_out: list[str]) -> Kept:
    age_s, lifetime_s, while_revalidate_s, if_error_s, always, vary, tags, entity_tag, last_modified = values
    return Kept(
        age_s,
        lifetime_s,
        while_revalidate_s,
        if_error_s,
        always,
        _all_bytes(vary),
        tuple(tags),
        entity_tag,
        last_modified,
        frozenset(_all_bytes(left_out)),
    )


def purge_to_bytes(purge: Purge, at_s: float) -> bytes:
    """A purge, for the journal.

    :param at_s: when it was, in cache time.
    """
    return json.dumps([*purge, at_s], separators=(",", ":")).encode("ascii")


def purge_from_bytes(data: bytes) -> tuple[Purge, float]:
    """What `purge_to_bytes` was given.

    :raises ValueError: it is no purge.
    """
    try:
        kind, service, selector, soft, at_s = json.loads(data)
        return Purge(kind, service, selector, bool(soft)), float(at_s)
    except TypeError as error:
        raise ValueError(f"a purge expected: {error!r}") from None


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _texts(many: "tuple[bytes, ...] | frozenset[bytes]") -> list[str]:
    return [each.decode("latin-1") for each in many]


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def _all_bytes(texts: list[str]) -> tuple[bytes, ...]:
    return tuple(text.encode("latin-1") for text in texts)
