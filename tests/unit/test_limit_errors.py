"""Does what is said of a limit have both values, and an option with a value that a build takes?"""

import pytest

from vmimage import abi, limit_errors
from vmimage.sizes import parse_size
from vmimage.terms import CPU_MS_MAX, OUTPUT_MAX

MIB = 1 << 20


def test_time() -> None:
    told = str(limit_errors.out_of_time(211_200_000, 200))
    assert told == "used 212 ms of CPU time, the image allows 200: build with --cpu-ms 400"


@pytest.mark.parametrize(("cpu_ms", "more"), [(1, "2"), (200, "400"), (30_001, "60000"), (CPU_MS_MAX, None)])
def test_more_time_is_named_as_far_as_there_is_more(cpu_ms: int, more: str | None) -> None:
    for error in (limit_errors.out_of_time(1, cpu_ms), limit_errors.out_of_background_time(cpu_ms, 5)):
        _, option, value = str(error).partition("--cpu-ms ")
        assert (value or None) == more
        assert option or "make it faster" in str(error)


@pytest.mark.parametrize(
    ("memory", "more"),
    [(32 * MIB, "64MiB"), (34 * MIB, "68MiB"), (600 * MIB, "1024MiB"), (abi.MEMORY_MAX, None)],
)
def test_more_memory_is_named_as_far_as_there_is_more(memory: int, more: str | None) -> None:
    for error in (limit_errors.out_of_memory(memory), limit_errors.beyond_memory(memory, memory)):
        _, _, value = str(error).partition("--memory ")
        assert (value.partition(",")[0] or None) == more
        assert more is None or memory < parse_size(more) <= abi.MEMORY_MAX


def test_output() -> None:
    told = str(limit_errors.output_too_large("a response", 64 * MIB + 1, 64 * MIB))
    assert told == "a response of 67108865 bytes or more, the image allows 64MiB: build with --response 128MiB"
    assert "--response" not in str(limit_errors.output_too_large("a response", OUTPUT_MAX + 1, OUTPUT_MAX))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (1, "1B"), (1023, "1023B"), (1536, "1536 bytes"), (2 << 10, "2KiB"), (3 << 30, "3GiB")],
)
def test_sizes_lose_nothing(size: int, text: str) -> None:
    assert limit_errors.format_exactly(size) == text
