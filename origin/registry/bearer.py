"""Bearer tokens (RFC 6750): whose a request is, by the one that it shows."""

import hmac
from typing import Final, NamedTuple

from origin.model.tokens import For, Tokens
from vmimage.canonical import digest_of, is_digest


class Holder(NamedTuple):
    """Who shows a token."""

    name: str  # of a tenant or an edge; "" with the shared token
    token: str  # its identifier; "" of the shared one
    pop: str = ""  # of an edge, where its token says it
    weight: float = 1.0  # of such an edge among its peers


SHARED: Final = Holder("", "")


def bearer(authorization: str, shared: str | None, tokens: Tokens | None, use: For) -> Holder | None:
    """Whom an Authorization field stands for: SHARED for the shared token, None for nobody.

    :param shared: the token of the key folder, or its digest; compared in constant time.
    :param tokens: those with names.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme != "Bearer":
        return None
    if shared is not None:
        expected = shared if is_digest(shared) else digest_of(shared.encode())
        if hmac.compare_digest(digest_of(given.encode("utf-8", "surrogateescape")), expected):
            return SHARED
    found = tokens.find(use, given) if tokens is not None else None
    return Holder(found.name, found.id, found.pop, found.weight) if found is not None else None
