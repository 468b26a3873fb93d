"""Transfer codings of requests: `chunked` is understood, and nothing else."""

import re
from typing import Final

from edge.model.flow import ClientError

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


def coding_problem(value: bytes, *, again: bool) -> ClientError | None:
    """Why a Transfer-Encoding field is refused; None for `chunked`, the one coding that is understood.

    An unknown coding is 501, a body whose end cannot be told is 400 (RFC 9112 sections 6.1 and 6.3).

    :param again: the request had such a field before, whose last coding is `chunked`.
    """
    codings = [coding.strip(b" \t").lower() for coding in value.split(b",")]
    if codings == [b"chunked"] and not again:
        return None
    if again or b"chunked" in codings[:-1] or not all(map(_TOKEN.fullmatch, codings)):
        return ClientError(400, "bad_request")
    return ClientError(501, "unknown_coding")
