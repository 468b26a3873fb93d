"""Machines without a libOS: assembler programs that start at any of their symbols, with registers of one's choice."""

import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from edge.vmm.engines.engine import Engine
from edge.vmm.engines.kvm import KvmEngine
from edge.vmm.engines.unicorn import UnicornEngine
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, PageTemplate, page_template
from edge.vmm.shells.shell import Image
from origin.bake.elf import Program, parse_program
from tests.support.guests import ENGINE, elf
from vmimage import abi, snapshot
from vmimage.manifest import Region
from vmimage.snapshot import DeviceState, Registers, Snapshot

BASE: Final = BaseMemory(None)
RSP: Final = 4  # its number in encoding order
MEMORY_BYTES: Final = abi.MEMORY_MIN


@cache
def program(source: Path) -> Program:
    """The program, linked where programs are."""
    return parse_program(elf(source))


def address(source: Path, symbol: str) -> int:
    """Where a symbol of it is."""
    return next(found.address for found in program(source).symbols if found.name == symbol)


def acts(source: Path, macro: str) -> list[str]:
    """What the program names by this macro."""
    return [line.split()[1] for line in source.read_text().splitlines() if line.split()[:1] == [macro]]


def image(source: Path, start: str, goes_on: str, words: Mapping[str, bytes] | None = None) -> Image:
    """A machine that starts at one symbol, its stack at `stack_top`, and whose SYSCALL goes on at another.

    :param words: bytes to put at symbols of its data.
    """
    control = bytearray(abi.PAGE_SIZE)
    struct.pack_into("<Q", control, abi.CONTROL_SYSCALL, address(source, goes_on))
    pages = {abi.CONTROL_ADDRESS // abi.PAGE_SIZE: control}
    regions = [Region(abi.CONTROL_ADDRESS, abi.CONTROL_ADDRESS + abi.PAGE_SIZE, "rw")]
    for segment in program(source).segments:
        end = -(-(segment.address + segment.memory_size) // abi.PAGE_SIZE) * abi.PAGE_SIZE
        regions.append(Region(segment.address, end, segment.access))
        data = bytearray(segment.data.ljust(end - segment.address, b"\0"))
        for symbol, value in (words or {}).items():
            at = address(source, symbol) - segment.address
            if 0 <= at < len(data):
                data[at : at + len(value)] = value
        for offset in range(0, len(data), abi.PAGE_SIZE):
            pages[(segment.address + offset) // abi.PAGE_SIZE] = data[offset : offset + abi.PAGE_SIZE]
    gpr = [0] * snapshot.GPR_COUNT
    gpr[RSP] = address(source, "stack_top")
    state = Snapshot(
        Registers(gpr=tuple(gpr), rip=address(source, start)),
        DeviceState(),
        np.array(sorted(pages), dtype=np.uint32),
        np.stack([np.frombuffer(bytes(pages[n]), dtype=np.uint64) for n in sorted(pages)]),
    )
    return Image(BASE, page_template(tuple(regions), MEMORY_BYTES), snapshot.encode(state))


def engine_over(code: bytes) -> Engine:
    """The engine of the tests over a page of code at `PROGRAM_ADDRESS`, and nothing else."""
    memory = GuestMemory(BaseMemory(None), MEMORY_BYTES)
    page = Region(abi.PROGRAM_ADDRESS, abi.PROGRAM_ADDRESS + abi.PAGE_SIZE, "rx")
    memory.bind(PageTemplate([page], MEMORY_BYTES))
    memory.write(abi.PROGRAM_ADDRESS, code)
    return UnicornEngine(memory) if ENGINE.get() == "unicorn" else KvmEngine(memory)
