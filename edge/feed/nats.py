"""The feed by NATS: a subject of the origin's own on a server that all edges reach; needs the extra nunatak[nats].

    nunatak.<identifier of the origin>.feed

NATS core keeps nothing: what is lost is found by its number in the origin's log. Whoever may publish on the server can
say nothing that counts, since events are signed. nats-py (2.16) keeps what a server sends until a message or a line of
it is whole, whatever its length, and every address that a server names: `Bounded` does not.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ProtocolError
from nats.protocol.parser import AWAITING_MSG_PAYLOAD, Parser

from edge.feed.backoff import SPREAD_S
from edge.feed.feed import CONNECT_S
from vmimage.errors import OriginUnreachable
from vmimage.feed import EVENT_MAX

WAITING_MAX: Final = 1000  # events that wait to be taken; beyond it the newest are lost, and found in the log
# Bytes of a message or a line: `max_payload` of a server, unless its operator has raised that. An event is far shorter;
# what others publish on its subject is left out, and ends no stream.
ARRIVING_MAX: Final = 1 << 20
READ_BYTES: Final = 64 << 10  # beside that: what the library reads at a time is less
PING_S: Final = 5  # two without an answer, and the server counts as gone


class _Parser(Parser):
    """What a server says, up to a length."""

    async def parse(self, data: bytes = b"") -> None:
        """:raises ProtocolError: a message or a line that is too long; it ends the connection."""
        await super().parse(data)
        announced = self.needed if self.state == AWAITING_MSG_PAYLOAD else 0
        if max(announced, len(self.buf) - READ_BYTES) > ARRIVING_MAX:
            raise ProtocolError(f"nats: at most {ARRIVING_MAX} bytes of a message expected")


class Bounded(Client):
    """A connection to a server that need not be believed. It goes by what the library calls its parts: see its test."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = _Parser(self)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        await super()._process_info({**info, "connect_urls": []}, initial_connection)


class NatsFeed:
    """As `Feed`."""

    def __init__(self, url: str, origin: Callable[[], str | None]) -> None:
        """:param url: nats://HOST:PORT or tls://HOST:PORT. :param origin: its identifier; None: not known yet."""
        self._url, self._origin = url, origin
        self.spread_s = SPREAD_S

    async def events(self, after: int) -> AsyncGenerator[bytes | None, None]:
        """As `Feed.events`; none that came before."""
        origin = self._origin()
        if origin is None:
            raise OriginUnreachable("the origin's catalogue expected before its feed, it was not seen yet")
        came: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_MAX)

        async def take(message: Msg) -> None:
            if len(message.data) <= EVENT_MAX and not came.full():
                came.put_nowait(message.data)

        async def over(*_: Any) -> None:
            if came.full():
                came.get_nowait()
            came.put_nowait(None)

        client = Bounded()
        try:
            async with asyncio.timeout(CONNECT_S):  # the library's own is for one of its tries
                await client.connect(
                    self._url,
                    allow_reconnect=False,
                    ping_interval=PING_S,
                    max_outstanding_pings=2,
                    closed_cb=over,
                    error_cb=_ignored,
                )
            await client.subscribe(subject(origin), cb=take)
            await confirmed(client, int(CONNECT_S))  # the server has the subscription
            yield None
            while (data := await came.get()) is not None:
                yield data
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            raise OriginUnreachable(f"NATS: {str(error) or type(error).__name__}") from None
        finally:
            await client.close()

    async def close(self) -> None:
        """As `Feed.close`: each stream closes its own connection."""


async def confirmed(client: Client, timeout_s: int) -> None:
    """Wait until the server has all that was sent.

    `flush` writes its PING ahead of what waits to be written (nats-py 2.16), so that only a second one comes behind it.

    :raises nats.errors.Error: it does not say so in time.
    """
    await client.flush(timeout_s)
    await client.flush(timeout_s)


async def _ignored(_: Exception) -> None:
    """What goes wrong ends the stream, which says so."""


def subject(origin: str) -> str:
    """Where the events of an origin go."""
    return f"nunatak.{origin}.feed"
