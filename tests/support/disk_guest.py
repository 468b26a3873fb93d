"""A guest's side of its disks: requests into one ring, answers out of the other."""

import struct

from edge.vmm.devices.disk import Disks
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, PageTemplate
from vmimage import abi
from vmimage.manifest import Region

DATA = abi.PROGRAM_ADDRESS


def disk_memory() -> GuestMemory:
    """Of a machine with rings for disks, and pages to read into and to write from."""
    memory = GuestMemory(BaseMemory(None), abi.MEMORY_MIN)
    memory.bind(PageTemplate([Region(abi.DISK_OUT_ADDRESS, abi.MEMORY_MIN, "rw")], abi.MEMORY_MIN))
    return memory


class DiskGuest:
    """A guest that asks its first disk for something, page by page."""

    def __init__(self, memory: GuestMemory, disks: Disks) -> None:
        self.memory, self.disks = memory, disks
        self.disks.restore()
        self.head = 0

    def ask(self, op: int, *, page: int = 0, length: int = 0, data: bytes = b"") -> int:
        """Put one request into the ring, to be drained; its id."""
        id_ = self.head
        self.memory.write(DATA, data.ljust(abi.PAGE_SIZE, b"\0"))
        request = struct.pack("<IHHQQII", id_, op, 0, page * abi.PAGE_SIZE, DATA, length, 0)
        at = abi.DISK_OUT_ADDRESS + abi.DISK_REQUESTS + id_ % abi.DISK_SLOTS * abi.DISK_REQUEST_SIZE
        self.memory.ram[at : at + len(request)] = request
        self.head += 1
        struct.pack_into("<I", self.memory.ram, abi.DISK_OUT_ADDRESS, self.head)
        return id_

    def write(self, page: int, data: bytes) -> None:
        """Write one page, and see that it was taken."""
        id_ = self.ask(abi.DISK_WRITE, page=page, length=abi.PAGE_SIZE, data=data)
        self.disks.drain()
        assert self.answers()[id_] == abi.PAGE_SIZE

    def flush(self) -> int:
        """Ask that what was written shall last; the request's id."""
        id_ = self.ask(abi.DISK_FLUSH)
        self.disks.drain()
        return id_

    def answers(self) -> dict[int, int]:
        """Completed requests and their results; consumed."""
        found = {}
        (head,) = struct.unpack_from("<I", self.memory.ram, abi.DISK_IN_ADDRESS)
        (tail,) = struct.unpack_from("<I", self.memory.ram, abi.DISK_OUT_ADDRESS + abi.DISK_IN_TAIL)
        while tail != head:
            at = abi.DISK_IN_ADDRESS + abi.DISK_COMPLETIONS + tail % abi.DISK_SLOTS * abi.DISK_COMPLETION_SIZE
            id_, result = struct.unpack_from("<Ii", self.memory.ram, at)
            found[id_] = result
            tail += 1
        struct.pack_into("<I", self.memory.ram, abi.DISK_OUT_ADDRESS + abi.DISK_IN_TAIL, tail)
        return found
