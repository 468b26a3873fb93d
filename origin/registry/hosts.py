"""Host, of which a request in HTTP/1.1 has one (RFC 9112 section 3.2). aiohttp takes requests with none and two."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import HttpVersion11, web

_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._~-]{0,253})(?::[0-9]{0,5})?")


def is_one_host(hosts: list[str], *, needed: bool) -> bool:
    """Whether the Host fields of a request are as many as they may be, and it is well-formed; it may be empty."""
    return (len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None) or (not hosts and not needed)


@web.middleware
async def one_host(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what has none, or several, or one that is malformed; HTTP/1.0 needs none."""
    if not is_one_host(request.headers.getall("Host", []), needed=request.version >= HttpVersion11):
        raise web.HTTPBadRequest(reason="one Host field expected")
    return await handler(request)
