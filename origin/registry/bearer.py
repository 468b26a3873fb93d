"""Bearer tokens (RFC 6750): whose a request is, by the one that it shows."""

import hmac

from origin.model.tokens import For, Tokens


def bearer(authorization: str, shared: str | None, tokens: Tokens | None, use: For) -> str | None:
    """Whom an Authorization field stands for: "" for the shared token, a name for one of its own, None for nobody.

    :param shared: the token of the key folder, compared in constant time. :param tokens: those with names.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme != "Bearer":
        return None
    if shared is not None and hmac.compare_digest(given.encode("utf-8", "surrogateescape"), shared.encode()):
        return ""
    return tokens.find(use, given) if tokens is not None else None
