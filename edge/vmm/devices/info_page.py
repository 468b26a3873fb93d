"""The info page: what the VMM tells the guest of itself, the "virtual registers" that are read without an exit.

It is made here, never taken from an image or a record. Facts are written when a machine starts, times and positions at
every entry.
"""

import struct
from typing import Final

from vmimage import abi
from vmimage.manifest import Limits
from vmimage.snapshot import ProgramPlace

FRESH_BYTES: Final = 40  # generation and entropy
# From INFO_MAGIC to INFO_PROGRAM_KIND.
_FACTS: Final = struct.Struct(f"<II32x{FRESH_BYTES}sQQQQ12xIQQQII")
_HOT: Final = struct.Struct("<4Q")  # pending, wall, mono, virtual
_RINGS: Final = struct.Struct("<3I")


def write_facts(ram: memoryview, memory_bytes: int, limits: Limits, program: ProgramPlace, fresh: bytes) -> None:
    """What stays while the machine runs.

    :param fresh: FRESH_BYTES that no machine had before; zeros while baking, since an image must not hold secrets.
    """
    usable = program.files or memory_bytes
    page = _FACTS.pack(
        *(abi.INFO_MAGIC_VALUE, abi.ABI_VERSION, fresh, usable, limits.cpu_ms * 1_000_000, limits.output_bytes),
        *(program.entry, limits.streams, program.heap, program.files, program.phdr, program.phnum, program.kind),
    )
    ram[abi.INFO_ADDRESS : abi.INFO_ADDRESS + len(page)] = page


def write_state(ram: memoryview, pending: int, times_ns: tuple[int, int, int], positions: tuple[int, int, int]) -> None:
    """What every entry may change.

    :param times_ns: wall, monotonic, virtual. :param positions: the VMM's in the gate's two rings and the console's.
    """
    _HOT.pack_into(ram, abi.INFO_ADDRESS + abi.INFO_PENDING, pending, *times_ns)
    _RINGS.pack_into(ram, abi.INFO_ADDRESS + abi.INFO_IN_HEAD, *positions)
