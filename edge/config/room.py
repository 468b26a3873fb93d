"""Options for memory and disk space, and who gets which share of them: a part of `EdgeConfig`, in a file of its own."""

from dataclasses import dataclass
from typing import Annotated, Final

from edge.config.fleet import FleetOptions
from vmimage.options import About

RESIDENT_MIN: Final = 8 << 20  # of `memory`: three machines


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomOptions(FleetOptions):
    """How much memory and disk space an edge takes for machines, images and logs. Bytes throughout."""

    memory: Annotated[
        int,
        About(
            "Memory for resident machines, images and parked machines together; half of it is for resident machines.",
            "bytes",
            16 << 20,
            1 << 40,
        ),
    ] = 256 << 20
    parked_memory: Annotated[
        int,
        About(
            "Share of memory for parked machines; those that do not fit are on disk.",
            "bytes",
            0,
            1 << 40,
            unset="0, a quarter of memory",
            share_of="memory",
        ),
    ] = 0
    image_memory: Annotated[
        int,
        About(
            "Share of memory for verified images.",
            "bytes",
            0,
            1 << 40,
            unset="0, a quarter of memory",
            share_of="memory",
        ),
    ] = 0
    disk: Annotated[int, About("Disk space for verified images.", "bytes", 1 << 20, 1 << 44)] = 4 << 30
    parked_disk: Annotated[int, About("Disk space for parked machines.", "bytes", 1 << 20, 1 << 44)] = 1 << 30
    written_disk: Annotated[
        int, About("Disk space for what services write to copy-on-write disks.", "bytes", 1 << 20, 1 << 44)
    ] = 1 << 30
    log_disk: Annotated[int, About("Disk space for logs that wait for the origin.", "bytes", 1 << 20, 1 << 40)] = (
        64 << 20
    )
    block_cache: Annotated[int, About("Memory of each worker for blocks of disks.", "bytes", 1 << 20, 1 << 40)] = (
        32 << 20
    )

    # A resident costs some 100 times what its record does, so a quarter for records parks about 50 for each resident;
    # images are shared by all machines of all workers, which is why they do with as much as the records.
    @property
    def resident_bytes(self) -> int:
        """Share of `memory` for resident machines: what images and records leave."""
        return self.memory - self.image_bytes - self.parked_bytes

    @property
    def image_bytes(self) -> int:
        """Share of `memory` for image memfds."""
        return self.image_memory or self.memory // 4

    @property
    def parked_bytes(self) -> int:
        """Share of `memory` for parked records."""
        return self.parked_memory or self.memory // 4
