"""Bodies of requests on their way to a guest: at once where they are small, else while the answer is awaited."""

import asyncio
from collections.abc import Callable

from edge.front.request import Request
from edge.model.flow import ClientError
from edge.model.streams import Stream


async def whole_body(request: Request, length: int, patience_s: float) -> bytes:
    """All of a body whose length is known.

    :raises ClientError: it does not come, or not in time, or is broken.
    """
    body = b""
    try:
        async with asyncio.timeout(patience_s):
            while len(body) < length:
                body += await request.read()
    except TimeoutError:
        raise ClientError("client_silent") from None
    return body


async def pass_on(request: Request, stream: Stream, most_bytes: int, ask: Callable[[Request], None]) -> None:
    """Send a body as it comes, as fast as the guest takes it.

    :param ask: is called for a client that waits to be asked for its body, once a machine has its request.
    :raises ClientError: it is larger than `most_bytes`, or broken.
    """
    total, ended = 0, False
    if request.expects_continue:
        await stream.given()
        if stream.machine is not None:
            ask(request)
    while not ended:
        data = await request.read()
        ended = not data  # an end is an empty read, so END travels in a frame of its own
        total += len(data)
        if total > most_bytes:
            raise ClientError("body_too_large")
        await stream.send_body(data, end=ended)
