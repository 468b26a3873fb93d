"""Where things lie in a machine's memory that is being baked: its devices, and the segments of a program."""

from collections.abc import Iterable
from typing import Final

from origin.bake.elf import Segment
from vmimage import abi
from vmimage.manifest import Access, Region

STACK_MAX: Final = 8 << 20  # bytes; what Linux gives a first thread
STACK_SHARE: Final = 8  # of memory, one in so many at most


def stack_bytes(memory_bytes: int) -> int:
    """The size of the first thread's stack in a Linux program, in whole pages; memory is taken as it is touched."""
    return min(STACK_MAX, memory_bytes // STACK_SHARE) // abi.PAGE_SIZE * abi.PAGE_SIZE


def stack_low(program_end: int) -> int:
    """Where that stack ends: a page that is nobody's lies between it and the program."""
    return program_end + abi.PAGE_SIZE


def device_regions() -> list[Region]:
    """The fixed part of the memory map, see `vmimage.abi`."""
    spans: list[tuple[int, int, Access]] = [
        (abi.INFO_ADDRESS, abi.PAGE_SIZE, "r"),
        (abi.CONTROL_ADDRESS, abi.PAGE_SIZE, "rw"),
        (abi.CONSOLE_ADDRESS, abi.CONSOLE_SIZE, "rw"),
        (abi.ENV_ADDRESS, abi.ENV_SIZE, "r"),
        (abi.GATE_IN_ADDRESS, abi.GATE_SIZE, "r"),
        (abi.GATE_OUT_ADDRESS, abi.GATE_SIZE, "rw"),
        (abi.STACK_ADDRESS, abi.STACK_SIZE, "rw"),
    ]
    for fiber in range(abi.FIBER_COUNT):
        start = abi.FIBER_ADDRESS + fiber * abi.FIBER_STRIDE
        spans.append((start + abi.PAGE_SIZE, abi.FIBER_STRIDE - abi.PAGE_SIZE, "rw"))
    return [Region(start, start + size, access) for start, size, access in spans]


def segment_regions(segments: Iterable[Segment]) -> list[Region]:
    """The whole pages of a program's segments, sorted by address as those are."""
    regions: list[Region] = []
    for segment in segments:
        start = segment.address // abi.PAGE_SIZE * abi.PAGE_SIZE
        end = -(-(segment.address + segment.memory_size) // abi.PAGE_SIZE) * abi.PAGE_SIZE
        if regions and start < regions[-1].end:  # the same access: the parser refuses anything else
            start = regions[-1].end
        if start < end:
            regions.append(Region(start, end, segment.access))
    return regions
