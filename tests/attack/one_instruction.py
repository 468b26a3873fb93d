"""A child process that runs instructions on Unicorn, each alone in ring 3, and must live.

    python -m tests.attack.one_instruction FIRST LAST DESCRIPTOR    cases of `cases()` by number

It prints the bytes of each that Unicorn could not translate, as hexadecimal. Before each case it writes the case's
number to the file of that descriptor, so that whoever finds the process dead can say which one it was.
"""

import itertools
import os
import struct
import sys
from collections.abc import Iterator
from typing import Final

import numpy as np

from edge.vmm.engines.engine import EngineFailure
from edge.vmm.engines.unicorn import UnicornEngine
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, PageTemplate
from edge.vmm.turns.watchdog import watchdog
from vmimage import abi
from vmimage.manifest import Region
from vmimage.snapshot import RFLAGS_FIXED, Registers

CODE, DATA = abi.LIBOS_ADDRESS, abi.PROGRAM_ADDRESS
EXIT: Final = b"\xe6\x10\xeb\xfc"  # out 0x10,al; jmp back
TAIL: Final = bytes.fromhex("0000000011223344")  # displacement and immediate
STOP_NS: Final = 200_000_000  # a jump may find a loop
PREFIXES: Final = (b"", b"\x66", b"\xf2", b"\xf3", b"\x48")
LOCKS: Final = (b"\xf0", b"\xf0\x48", b"\x66\xf0\x2e", b"\xf0\xf3\x67\x41")
SOME: Final = bytes.fromhex("00 05 0c 44 85 c0 c9 d2 db e6 ed f3 ff")  # ModRM
# Opcodes whose every ModRM is something else: groups, x87, what reads ModRM as a number.
GROUPS: Final = bytes.fromhex("80 8f c0 c6 c7 d3 d8 d9 da db dc dd de df f6 f7 fe ff")
GROUPS_0F: Final = bytes.fromhex("00 01 0d 18 1a 1b 1f 71 73 a3 ab ae b3 b9 ba bb c7")


def cases() -> Iterator[bytes]:
    """Every opcode of the three maps with every prefix; groups and x87 in full; VEX, EVEX and XOP leads."""
    for prefix in (*PREFIXES, *LOCKS):
        for lead in (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a"):
            for opcode, modrm in itertools.product(range(256), SOME):
                yield prefix + lead + bytes([opcode, modrm]) + TAIL
        for lead, groups in ((b"", GROUPS), (b"\x0f", GROUPS_0F)):
            for code, modrm in itertools.product(groups, range(256)):
                yield prefix + lead + bytes([code, modrm]) + TAIL
    for first, second, third in itertools.product((0xC4, 0xC5, 0x62, 0x8F), range(256), range(0, 256, 17)):
        yield bytes([first, second, third]) + bytes.fromhex("58c1223344556677")


class Bench:
    """One engine over a page of code."""

    def __init__(self) -> None:
        self._memory = GuestMemory(BaseMemory(None), abi.MEMORY_MIN)
        code, data = Region(CODE, CODE + 2 * abi.PAGE_SIZE, "rx"), Region(DATA, DATA + 4 * abi.PAGE_SIZE, "rw")
        self._memory.bind(PageTemplate([code, data], abi.MEMORY_MIN))
        self._engine = UnicornEngine(self._memory)
        gpr = [DATA + abi.PAGE_SIZE] * 16
        gpr[4] = DATA + 3 * abi.PAGE_SIZE
        self._registers = Registers(tuple(gpr), CODE, RFLAGS_FIXED, DATA, 0, Registers().fxsave)

    def contained(self, code: bytes) -> bool:
        """Run it; whether Unicorn would have ended the process."""
        self._memory.write(CODE, code + EXIT)
        self._engine.flush_code(np.array([CODE // abi.PAGE_SIZE], dtype=np.uint32))
        self._engine.load(self._registers)
        with watchdog().watching(self._engine, STOP_NS):
            reason = self._engine.run()
        self._engine.save()
        return isinstance(reason, EngineFailure) and "translate" in reason.message


def main(first: int, last: int, descriptor: int) -> None:
    """Run cases `first` up to `last`."""
    bench = Bench()
    for number, code in enumerate(itertools.islice(cases(), first, last), first):
        os.pwrite(descriptor, struct.pack("<Q", number), 0)
        if bench.contained(code):
            print(code.hex())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
