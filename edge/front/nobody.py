"""A connection at whose other end nobody is: for requests that the edge itself has, to make a stale answer new."""

import asyncio

from edge.front.reached import Reached
from edge.front.request import Request


class Nobody:
    """What a request needs of its connection; what is written is for nobody."""

    lost = False

    def __init__(self, remote: str, reached: Reached) -> None:
        """:param remote: the address of the client whose request made it necessary. :param reached: how that came."""
        self.remote, self.reached = remote, reached

    def write(self, request: Request, data: bytes) -> None:
        request.sent += len(data)

    async def drained(self) -> None:
        if self.lost:
            raise ConnectionError("the answer was cut")

    def read_on(self) -> None:
        """There is no more."""

    def finished(self, request: Request) -> None:
        """Nobody waits for the next."""

    def close(self) -> None:
        """There is nothing to close."""

    def abort(self) -> None:
        self.lost = True

    def hand_over(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        raise RuntimeError("a request without a client offers no other protocol")
