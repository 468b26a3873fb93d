"""What tenants flush to copy-on-write disks: how much of it may be under way, and how fast. Pure but for a clock.

A flush is under way until it is answered: so long the worker holds its pages, and the edge does while they wait to be
written. One beyond a tenant's share is refused, so that nothing of it is held here; the guest has its pages still and
may flush them again. Until it has, what the machine is does not go with what its disks are: see `lacks`.
"""

from collections.abc import Callable, Iterable
from typing import Final

from edge.allowance import FLUSH_BYTES, Allowance
from edge.turns import Turns
from vmimage.drives import WRITTEN_MAX

EACH: Final = WRITTEN_MAX  # bytes of one tenant: all that one machine can have
ALL: Final = 4 * EACH  # of all tenants; one that has none under way may always have one
MIN: Final = 64 << 10  # bytes that the smallest flush counts for: it is a task and a transaction


class Flushes:
    """All flushes that are under way."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """:param clock: seconds that never go back."""
        self.rate = Allowance(FLUSH_BYTES, clock)
        self.turns = Turns(ALL, EACH)
        self._lacking: dict[tuple[int, int], set[int]] = {}  # pages whose flush was refused, by machine and place

    def take(self, tenant: str, machine: int, place: int, pages: Iterable[int], size: int) -> bool:
        """Whether a flush of these pages, of so many bytes, may be written; `answered` follows if so.

        :param place: of the disk among the machine's.
        """
        drive, pages = (machine, place), set(pages)
        if not self.turns.held_by(tenant):
            self.turns.take_anyway(tenant, max(size, MIN))
        elif not self.turns.take_now(tenant, max(size, MIN)):
            self._lacking.setdefault(drive, set()).update(pages)
            return False
        lacking = self._lacking.get(drive)
        if lacking is not None:
            lacking -= pages
            if not lacking:
                del self._lacking[drive]
        return True

    def owe(self, tenant: str, size: int) -> float:
        """Charge a tenant with a flush; seconds until it is paid for."""
        return self.rate.owe(tenant, max(size, MIN))

    def answered(self, tenant: str, size: int) -> None:
        """A flush that was taken is no longer under way."""
        self.turns.give_back(tenant, max(size, MIN))

    def lacks(self, machine: int) -> bool:
        """Whether a machine has pages that are in no place but its memory, though it asked for them to be kept."""
        return any(number == machine for number, _ in self._lacking)

    def forget(self, machine: int) -> None:
        """The machine is gone."""
        for drive in [drive for drive in self._lacking if drive[0] == machine]:
            del self._lacking[drive]
