"""Where things are in the memory of an image: devices, a program's segments, its environment. See `vmimage.abi`."""

from collections.abc import Iterable, Mapping, Sequence

from vmimage import abi
from vmimage.elf import Program, Segment
from vmimage.errors import PublisherError
from vmimage.manifest import Access, Region


def end_of(program: Program) -> int:
    """The first page after a program."""
    end = max(segment.address + segment.memory_size for segment in program.segments)
    return -(-end // abi.PAGE_SIZE) * abi.PAGE_SIZE


def environment(env: Mapping[str, str], arguments: Sequence[str]) -> bytes:
    """Names and values, then arguments; each list ends with an empty one."""
    block = b""
    for name, value in sorted(env.items()):
        if not name or "=" in name or "\0" in name + value:
            raise PublisherError(f"environment: NAME=VALUE without NUL expected, got {name!r}")
        block += f"{name}={value}".encode() + b"\0"
    block += b"\0"
    for argument in arguments:
        if not argument or "\0" in argument:
            raise PublisherError(f"arguments: texts without NUL, none empty, expected, got {argument!r}")
        block += argument.encode() + b"\0"
    if len(block) >= abi.ENV_SIZE:
        raise PublisherError(f"environment: less than {abi.ENV_SIZE} bytes expected, got {len(block)}")
    return block + b"\0"


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
    """Whole pages for a program's segments, sorted by address as those are."""
    regions: list[Region] = []
    for segment in segments:
        start = segment.address // abi.PAGE_SIZE * abi.PAGE_SIZE
        end = -(-(segment.address + segment.memory_size) // abi.PAGE_SIZE) * abi.PAGE_SIZE
        if regions and start < regions[-1].end:  # the same access: the parser refuses anything else
            start = regions[-1].end
        if start < end:
            regions.append(Region(start, end, segment.access))
    return regions
