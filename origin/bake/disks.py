"""Disks while an image is baked: the program may read them before it is ready, from the file that will be published.

Nothing can be written, so the same program and the same disks give the same image.
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.vmm.devices.disk import Arrived, Disks, Done, Drive
from edge.vmm.memory.guest_memory import GuestMemory
from origin.model.diskfile import DiskFile
from vmimage import abi
from vmimage.drives import DriveRef
from vmimage.manifest import Region

DISK_REGIONS: Final = (
    Region(abi.DISK_IN_ADDRESS, abi.DISK_IN_ADDRESS + abi.PAGE_SIZE, "r"),
    Region(abi.DISK_OUT_ADDRESS, abi.DISK_OUT_ADDRESS + abi.PAGE_SIZE, "rw"),
)


@dataclass(frozen=True)
class LocalDrive:
    """A disk of the image that is being built."""

    ref: DriveRef
    disk: DiskFile | None  # None: scratch or log


class _Local:
    """What the device stands on here: every block is at hand."""

    def __init__(self, drives: Sequence[LocalDrive]) -> None:
        self._drives = drives

    def block(self, drive: int, block_no: int) -> bytes | None:
        disk = self._drives[drive].disk
        return disk.block(block_no) if disk is not None else bytes(abi.DISK_BLOCK_SIZE)

    def want(self, drive: int, block_no: int, ahead: int, arrived: Arrived) -> None:
        arrived(self.block(drive, block_no))

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        done(-errno.EROFS)

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        done(-errno.EROFS)


def drives_for_bake(memory: GuestMemory, drives: Sequence[LocalDrive]) -> Disks:
    """The device of a machine that is being baked."""
    return Disks(memory, [Drive(drive.ref) for drive in drives], _Local(drives), read_only=True)
