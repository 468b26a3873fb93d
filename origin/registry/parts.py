"""Parts of an origin's application that others bring: pages of their own, and what goes on beside them."""

from typing import Protocol

from aiohttp import web


class Part(Protocol):
    """One of them."""

    def join(self, app: web.Application) -> None:
        """Add its pages to an application that has not begun yet, and what has to run as long as it does."""
