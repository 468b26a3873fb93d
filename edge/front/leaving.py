"""How clients leave an edge that drains: each is told with an answer of its own that there will be no other."""

import asyncio
from collections.abc import Sized
from typing import Final

# For a client that is between two requests when the edge drains: some round trips, and less than a proxy waits for.
IDLE_S: Final = 1.0
LOOK_S: Final = 0.02  # between two looks whether all have gone


async def asked_once_more(connections: Sized, sockets: Sized, within_s: float) -> None:
    """Wait for clients to send what they have, and be told that it was the last; only so long.

    :param connections: all there are, `sockets` among them, which are asked for nothing.
    """
    for _ in range(round(min(IDLE_S, within_s) / LOOK_S)):
        if len(connections) <= len(sockets):
            return
        await asyncio.sleep(LOOK_S)
