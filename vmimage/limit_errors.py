"""What is said of a limit that was hit: what was used, what is allowed, and which option to change, to which value.

A worker says it of its machines, a supervisor of what does not fit, so that a publisher reads one wording everywhere.
"""

from typing import Final

from vmimage import abi
from vmimage.errors import (
    ImageTooLarge,
    MemoryPressure,
    OutOfBackgroundTime,
    OutOfMemory,
    OutOfTime,
    OutputTooLarge,
    OverBudget,
    RecordTooLarge,
)
from vmimage.sizes import format_size
from vmimage.terms import CPU_MS_MAX, OUTPUT_MAX

_MIB: Final = 1 << 20


def out_of_time(used_ns: int, cpu_ms: int) -> OutOfTime:
    """A request took more than the image allows it."""
    used_ms = -(-used_ns // 1_000_000)
    return OutOfTime(f"used {used_ms} ms of CPU time, the image allows {cpu_ms}: {_more_time(cpu_ms)}")


def out_of_background_time(cpu_ms: int, percent: int) -> OutOfBackgroundTime:
    """A machine without a request took more than its share."""
    return OutOfBackgroundTime(
        f"without a request used more than {cpu_ms} ms of CPU time at once and {percent} % of a processor over time: "
        f"do the work while a request is open, or {_more_time(cpu_ms)}"
    )


def out_of_memory(memory_bytes: int) -> OutOfMemory:
    """A program that asks found that there is no more."""
    return OutOfMemory(
        f"needs more than the image's {format_size(memory_bytes)} of memory: {_more_memory(memory_bytes)}"
    )


def beyond_memory(address: int, memory_bytes: int) -> OutOfMemory:
    """A program that does not ask went beyond the end."""
    return OutOfMemory(
        f"touched {address:#x}, the image's {format_size(memory_bytes)} of memory end at {memory_bytes:#x}: "
        f"{_more_memory(memory_bytes)}, or look for a wild pointer"
    )


def output_too_large(what: str, sent_bytes: int, output_bytes: int) -> OutputTooLarge:
    """:param what: that a program has written."""
    more = _larger(output_bytes, OUTPUT_MAX)
    remedy = f"build with --response {more}" if more else "send it in several"
    return OutputTooLarge(
        f"{what} of {format_exactly(sent_bytes)} or more, the image allows {format_exactly(output_bytes)}: {remedy}"
    )


def record_too_large(bytes_max: int) -> RecordTooLarge:
    """A machine that cannot be parked."""
    return RecordTooLarge(
        f"changed more than {format_size(bytes_max)} of memory since its start, which is what can be parked: "
        "change less, keep large tables on a disk, or build with --rejuvenate growth=SIZE"
    )


def machine_over_budget(name: str, needed_bytes: int, budget_bytes: int) -> OverBudget:
    """A machine for which all others together could not make room."""
    return OverBudget(
        f"{name}: a machine of {format_exactly(needed_bytes)}, this edge has {format_exactly(budget_bytes)} for all: "
        "build with a smaller --memory, or give the edge a larger --memory"
    )


def record_over_budget(name: str, record_bytes: int, budget_bytes: int) -> OverBudget:
    """A record that there is no place for."""
    return OverBudget(
        f"{name}: a record of {format_exactly(record_bytes)}, this edge takes {format_exactly(budget_bytes)}: "
        "let the program change less memory, or give the edge a larger --memory"
    )


def image_too_large(what: str, use: str, needed_bytes: int, allowed_bytes: int) -> ImageTooLarge:
    """:param what: the image or blob. :param use: what this edge would need the memory for."""
    return ImageTooLarge(
        f"{what}: needs {format_exactly(needed_bytes)} for {use}, this edge has {format_exactly(allowed_bytes)}: "
        "give it a larger --memory or --image-memory, or build with a smaller --memory"
    )


def worker_is_full(size_bytes: int, limit_bytes: int) -> MemoryPressure:
    """A machine that ended since those of its worker had grown too much, and its tenant's the most."""
    return MemoryPressure(
        f"the machines of its worker took more than {format_exactly(limit_bytes)}, its tenant's the most, and this one "
        f"of {format_exactly(size_bytes)} was the largest: use less memory, or give the edge a larger --memory"
    )


def others_wait(name: str, size_bytes: int) -> MemoryPressure:
    """A machine that ended since others found no room for so long."""
    return MemoryPressure(
        f"{name}: others wait for room, its tenant's machines have most of it, this one {format_exactly(size_bytes)}: "
        "use fewer or smaller machines, or give the edge a larger --memory"
    )


def format_exactly(size: int) -> str:
    """In the largest unit that says it without a remainder."""
    text = format_size(size)
    return text if size == 0 or _is_whole(size) else f"{size} bytes"


def _is_whole(size: int) -> bool:
    unit = 1
    while size >= unit << 10:
        unit <<= 10
    return size % unit == 0


def _more_time(cpu_ms: int) -> str:
    if cpu_ms >= CPU_MS_MAX:
        return "make it faster, or do it in several requests"
    return f"build with --cpu-ms {min(2 * cpu_ms, CPU_MS_MAX)}"


def _more_memory(memory_bytes: int) -> str:
    more = _larger(memory_bytes, abi.MEMORY_MAX)
    return f"build with --memory {more}" if more else "use less, or keep large tables on a disk"


def _larger(size: int, most: int) -> str:
    """Twice as much, in whole MiB, as an option takes it; empty where there is no more."""
    return "" if size >= most else f"{min(-(-2 * size // _MIB), most // _MIB)}MiB"
