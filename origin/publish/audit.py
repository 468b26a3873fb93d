"""Asking an origin who has changed a service, and what it need not keep. Decisions without I/O."""

import json
from collections.abc import Generator, Sequence
from typing import Any, Final

from origin.model.exchange import Request, Response, expect
from vmimage.errors import OriginError

PRUNE_SILENCE_S: Final = 3600.0  # a store of a million blobs takes minutes

_NUMBERS: Final = ("manifests", "blobs", "freed_bytes", "kept_manifests", "kept_blobs")

_Read = Generator[Sequence[Request], Sequence[Response], bytes]
_Prune = Generator[Sequence[Request], Sequence[Response], dict[str, Any]]


def read_audit(service: str) -> _Read:
    """Lines of the origin's audit log about a service.

    :raises PublisherError: the token may not read them.
    """
    [response] = yield [Request("GET", f"/audit/{service}")]
    expect(response, 200, "audit log")
    return response.body


def prune(rules: dict[str, int | bool]) -> _Prune:
    """Have the origin remove what nobody needs.

    :param rules: as `origin/registry/prune.py` takes them.
    :return: what went or would go.
    :raises PublisherError: it is not the operator's token.
    """
    body = json.dumps(rules).encode()
    [response] = yield [Request("POST", "/prune", body, "application/json", silence_s=PRUNE_SILENCE_S)]
    expect(response, 200, "prune")
    try:
        result = json.loads(response.body)
        if not all(type(result[name]) is int for name in _NUMBERS) or not isinstance(result["logs"], list):
            raise ValueError
    except (ValueError, TypeError, LookupError, RecursionError):
        raise OriginError(f"what was pruned expected, got {response.body[:80]!r}") from None
    return dict(result)
