"""The images that one worker has been given: those of its machines, and a few small ones whose last machine is gone.

A small image travels with its machine, so a parked service costs no worker anything. Those of machines that went a
moment ago are kept under a budget all the same: a service that comes back soon finds its image there, decoded, and
perhaps the shell that has its pages still.
"""

from typing import Final

from edge.content.image import IMAGE_OVERHEAD_BYTES, Image
from edge.content.tiers import Tier

KEPT_BYTES: Final = 256 << 10  # of images without machines: some sixty of C, some fifteen of JavaScript


class GivenImages:
    """By number; who is told of it, the worker or the one who keeps this, is the caller's business."""

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._users: dict[int, int] = {}  # machines by image
        self._unused: Tier[int, Image] = Tier(KEPT_BYTES)

    def __contains__(self, image: Image) -> bool:
        return image.number in self._numbers

    def add(self, image: Image) -> None:
        """The worker is told of it."""
        self._numbers.add(image.number)

    def enter(self, image: Image) -> None:
        """One more machine of it."""
        self._users[image.number] = self._users.get(image.number, 0) + 1
        self._unused.pop(image.number)

    def leave(self, image: Image) -> list[Image]:
        """One machine less of it; which images the caller is to discard for that."""
        self._users[image.number] -= 1
        if self._users[image.number]:
            return []
        del self._users[image.number]
        if image.inline and image.number in self._numbers:
            self._unused.put(image.number, image, len(image.blob) + IMAGE_OVERHEAD_BYTES)
        forgotten: list[Image] = []
        while self._unused.over() and (coldest := self._unused.coldest()) is not None:
            if (unused := self._unused.pop(coldest)) is not None:
                forgotten.append(unused)
        return forgotten

    def discard(self, image: Image) -> bool:
        """The worker forgets it; whether it had it."""
        had = image.number in self._numbers
        self._numbers.discard(image.number)
        self._unused.pop(image.number)
        return had
