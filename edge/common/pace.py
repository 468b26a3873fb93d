"""How long one may take over an answer: who takes it more slowly than that keeps others' from memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

SLOWEST: Final = 64 << 10  # bytes a second
PATIENCE_S: Final = 30.0  # beside that, for one answer


class Pace:
    """Of one who takes an answer. What is waited for in between is no fault of its own."""

    def __init__(self, size: int) -> None:
        """:param size: bytes that it is given."""
        self._left_s = PATIENCE_S + size / SLOWEST

    @asynccontextmanager
    async def taking(self) -> AsyncIterator[None]:
        """While it takes some.

        :raises TimeoutError: it takes too long.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        async with asyncio.timeout(self._left_s):
            yield
        self._left_s -= loop.time() - began_s
