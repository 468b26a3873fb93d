"""Chance and time while an image is built: did the program ask for them, where, and the builder's own for one that may.

There are none, since all machines of an image would share what a program made of them. The libOS says READY_RANDOM
where a program first needs some; the image ends there. `origin.bake.bake` decides what follows.
"""

import os
import struct
from collections.abc import Iterator
from typing import Final

from edge.vmm.devices.info_page import FRESH_BYTES
from edge.vmm.shells.shell import Shell
from origin.bake.elf import Program, Segment
from vmimage import abi
from vmimage.symbols import SymbolTable

EARLY_TIME: Final = (
    "the program asked for the time before it was ready: clocks stand still at 1970 while an image is built, and what "
    "it keeps of that (a start time, a seed, a name) is the same in all machines; ask in the handler, or after random "
    "bytes"
)
_FRAMES_MAX: Final = 16
_GAP_MAX: Final = 1024  # bytes between two frames; a system call's registers and a C library's function take some 300
_NAMES_MAX: Final = 4
_RBP: Final = 5  # its place in `Registers.gpr`


def give(shell: Shell) -> None:
    """Let the program in the shell have random bytes, as in a machine of an edge."""
    shell.memory.write(abi.INFO_ADDRESS + abi.INFO_GENERATION, os.urandom(FRESH_BYTES))


def wanted(shell: Shell) -> bool:
    """Whether the READY that the guest just said means that it waits for random bytes."""
    return shell.engine.argument(0) == abi.READY_RANDOM


def asked_by(shell: Shell, program: Program, table: SymbolTable) -> str:
    """The functions of the program that wait for random bytes, innermost first: "getrandom, secret, main"."""
    names: list[str] = []
    for address in _return_addresses(shell):
        if any(segment.access == "rx" and _holds(segment, address) for segment in program.segments):
            name = table.name(address - 1).rpartition("+")[0].partition(" (")[0]
            if name and name not in names:
                names.append(name)
    return ", ".join(names[:_NAMES_MAX]) or "the program"


def _return_addresses(shell: Shell) -> Iterator[int]:
    """By frame pointers, which the libOS and what we compile keep.

    A C library keeps none: between the frame of the libOS's system call and the next one known, each word is given.
    """
    frames: list[tuple[int, int]] = []  # where, and the return address
    frame = shell.engine.save().gpr[_RBP]
    while len(frames) < _FRAMES_MAX and (words := shell.memory.read_checked(frame, 16)) is not None:
        above, address = struct.unpack("<QQ", words)
        frames.append((frame, address))
        if not frame < above < frame + _GAP_MAX:
            break
        frame = above
    ends = [start for start, _ in frames[1:]] + [frame + _GAP_MAX]
    for (start, address), end in zip(frames, ends, strict=True):
        yield address
        if _in_libos(address) and not any(_in_libos(other) for place, other in frames if place > start):
            gap = shell.memory.read_checked(start + 16, (end - start - 16) // 8 * 8) or b""
            yield from (word for (word,) in struct.iter_unpack("<Q", gap))


def _in_libos(address: int) -> bool:
    return abi.LIBOS_ADDRESS <= address < abi.LIBOS_ADDRESS + abi.LIBOS_SIZE


def _holds(segment: Segment, address: int) -> bool:
    return segment.address < address <= segment.address + len(segment.data)
