"""Where an answer of an upstream ends: where its own framing says, whatever its connection brings behind it.

An upstream that sends more than its Content-Length is not rare, and every proxy takes the answer and closes the
connection (RFC 9112 section 6.3). aiohttp does so when the surplus comes by itself, but where it comes together with
the head it loses the answer, so what guests got would depend on how TCP cuts. Here a head is always parsed by itself.
"""

import asyncio
from functools import partial
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

_HEAD_END: Final = b"\r\n\r\n"


class _Answers(ResponseHandler):
    """A connection to an upstream."""

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        start = 0
        while self._payload is None or self._payload.is_eof():  # a head follows
            end = data.find(_HEAD_END, start)
            if end < 0 or self.exception() is not None:
                break
            start, head = end + len(_HEAD_END), data[start : end + len(_HEAD_END)]
            super().data_received(head)
        if not start or (start < len(data) and self.exception() is None):
            super().data_received(data[start:])


def cut_to_size(connector: aiohttp.TCPConnector) -> aiohttp.TCPConnector:
    """Have a connector's connections take answers as long as they say they are. aiohttp has no public place for it."""
    connector._factory = partial(_Answers, loop=asyncio.get_running_loop())  # type: ignore[assignment]
    return connector
