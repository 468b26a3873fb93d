"""Room that parties share, given out so that none of them takes what others will need. Pure.

What is free decides: a party may have up to `SHARE` times as much as stays free beside it (dynamic thresholds,
Choudhury and Hahne, 1998). One alone has three quarters of all, and whoever comes when others have taken theirs finds
some.
"""

from ipaddress import IPv6Address
from typing import Final

SHARE: Final = 3


def party_of(remote: str) -> str:
    """Who a client is, for counting: an IPv4 address, or the /64 of an IPv6 one (RFC 6177)."""
    if ":" not in remote:
        return remote
    return remote if "%" in remote else str(IPv6Address(int(IPv6Address(remote)) >> 64 << 64))


class FairRoom:
    """So much of something, bytes or places, by party."""

    def __init__(self, most: int) -> None:
        """:param most: for all parties together."""
        self._free = most
        self._taken: dict[str, int] = {}

    def __len__(self) -> int:
        """How many parties have some."""
        return len(self._taken)

    def take(self, party: str, size: int = 1) -> bool:
        """Let a party have so much more, if it may; whether it does."""
        taken = self._taken.get(party, 0) + size
        if taken > SHARE * (self._free - size):
            return False
        self._taken[party] = taken
        self._free -= size
        return True

    def give(self, party: str, size: int = 1) -> None:
        """It has so much less."""
        if not size:
            return
        self._free += size
        left = self._taken.pop(party, 0) - size
        if left > 0:
            self._taken[party] = left
