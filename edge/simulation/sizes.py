"""What each service of a simulated world takes, by its number: bytes in memory, on disk and on the wire.

The ranges are those that were measured: images of 5 to 750 kB beside a base of some megabytes, machines of 2 to 8 MiB,
records of 3 KB (C) to 250 KB (a busy JavaScript worker). Sizes are spread evenly over their logarithms, and have
nothing to do with how popular a service is (Breslau 1999, section IV).
"""

from array import array
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

IMAGE: Final = (5_000, 750_000)
MACHINE: Final = (2 << 20, 8 << 20)
RECORD: Final = (3_000, 250_000)
MANIFEST_BYTES: Final = 1_000  # comes with each image

Bytes: TypeAlias = "array[int]"  # a number for each service, in eight bytes


@dataclass(frozen=True)
class Sizes:
    """By service."""

    image: Bytes
    machine: Bytes
    record: Bytes


def sizes(services: int, seed: int) -> Sizes:
    """Of so many services."""
    return Sizes(*(_spread(services, [seed, 4, n], *span) for n, span in enumerate((IMAGE, MACHINE, RECORD))))


def _spread(count: int, seed: list[int], least: int, most: int) -> Bytes:
    rolls = np.random.default_rng(seed).random(count)
    return array("q", (least * (most / least) ** rolls).astype(np.int64).tobytes())
