"""Which connections are lost or stop for a while, and after how many bytes: by seed and number, whatever the timing."""

import random
from typing import NamedTuple

from loadtest.wan.link import Link


class Fate(NamedTuple):
    """What becomes of a connection when so many bytes have come back over it; None: nothing."""

    reset_after: int | None = None
    stall_after: int | None = None


def fate(link: Link, number: int) -> Fate:
    """Of the connection of that number, counted from 0."""
    if link.reset_after_bytes:
        return Fate(reset_after=link.reset_after_bytes)
    dice = random.Random(f"{link.seed} connection {number}")
    roll, after = dice.random(), dice.randrange(link.lost_within_bytes + 1)
    if roll < link.reset_share:
        return Fate(reset_after=after)
    if roll < link.reset_share + link.stall_share:
        return Fate(stall_after=after)
    return Fate()
