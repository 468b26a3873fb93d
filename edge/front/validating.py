"""Requests that ask a guest whether a kept answer still holds."""

from collections.abc import Container

from edge.cache.responses import Entry
from edge.front.request import Request


def validating(request: Request, entry: Entry, but: Container[bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of such a request.

    :param but: names of fields, in lower case, that the client may have sent and the guest is not to see.
    """
    kept = entry.kept
    fields = [(name, value) for name, value in request.headers if name.lower() not in but]
    if kept.entity_tag:
        fields.append((b"If-None-Match", kept.entity_tag.encode("latin-1")))
    if kept.last_modified:
        fields.append((b"If-Modified-Since", kept.last_modified.encode("latin-1")))
    return fields
