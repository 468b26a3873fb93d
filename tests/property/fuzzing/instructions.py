"""Machine code that a hostile publisher might ship: mostly instructions, seldom plain bytes.

Random bytes alone end at the first undefined opcode. So each piece is drawn from a family that a processor, a kernel
or an emulator may stumble over, with odd prefixes, operands and immediates, and pieces follow one another so that the
later ones run in the state that the earlier ones left.
"""

import random
import struct
from collections.abc import Callable
from typing import Final

from vmimage import abi

Rng = random.Random

LEGACY_PREFIXES: Final = bytes.fromhex("66 f2 f3 f0 64 65 67 26 2e 36 3e")
IMMEDIATES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# Addresses that mean something: every device page, code, data, the ends of memory, the monitor, what is not canonical.
ADDRESSES: Final = (
    *(0, abi.NULL_GUARD_SIZE - 8, abi.INFO_ADDRESS, abi.CONTROL_ADDRESS, abi.CONSOLE_ADDRESS, abi.ENV_ADDRESS),
    *(abi.GATE_IN_ADDRESS, abi.GATE_OUT_ADDRESS, abi.GATE_OUT_ADDRESS + abi.GATE_SIZE - 8, abi.DISK_OUT_ADDRESS),
    *(abi.LIBOS_ADDRESS, abi.STACK_GUARD_ADDRESS, abi.PROGRAM_ADDRESS, abi.PROGRAM_ADDRESS + 0x10FF8),
    *(abi.MEMORY_MIN - 8, abi.MEMORY_MIN, abi.MEMORY_MAX - 8, abi.MEMORY_MAX, abi.MEMORY_MAX + 0x8000),
    *(2**32 - 8, 2**47 - 8, 2**47, 2**63, 2**64 - 8, 2**64 - 1),
)
# Where a hypercall takes a time: around zero, the signed and unsigned ends, and what is years away.
TIMES: Final = (0, 1, 10**3, 10**6, 10**9, 10**18, 2**62, 2**63 - 1, 2**63, 2**64 - 10**9, 2**64 - 2, 2**64 - 1)
PORTS: Final = tuple(range(0x10, 0x1A))


def modrm(rng: Rng) -> bytes:
    """An operand: a register, [RBX + x], RIP-relative, SIB with odd scales, bare addresses."""
    kind, reg = rng.random(), rng.randrange(8) << 3
    if kind < 0.35:
        return bytes([0xC0 | reg | rng.randrange(8)])
    if kind < 0.6:  # RBX, RSI and RDI mostly point to data
        return bytes([0x40 | reg | rng.choice((3, 6, 7)), rng.randrange(256)])
    if kind < 0.7:
        return bytes([reg | 5]) + struct.pack("<i", rng.choice((-64, -8, -1, 0, 1, 8, 0x1000, rng.getrandbits(20))))
    if kind < 0.8:
        return bytes([0x80 | reg | rng.randrange(8)]) + rng.randbytes(5)
    if kind < 0.9:
        return bytes([reg | 4, rng.randrange(256)]) + struct.pack("<I", rng.choice(ADDRESSES) & 0xFFFFFFFF)
    return bytes([rng.randrange(256)]) + rng.randbytes(6)


def prefixes(rng: Rng) -> bytes:
    """None to three, seldom as many as an instruction can have; then a REX, sometimes."""
    count = rng.choice((0, 0, 0, 0, 1, 1, 2, 3)) if rng.random() < 0.98 else rng.randrange(4, 15)
    some = bytes(rng.choice(LEGACY_PREFIXES) for _ in range(count))
    return some + (bytes([rng.randrange(0x40, 0x50)]) if rng.random() < 0.4 else b"")


def immediate(rng: Rng, size: int) -> bytes:
    return (rng.choice((*IMMEDIATES, rng.getrandbits(32))) & (1 << 8 * size) - 1).to_bytes(size, "little")


def one_byte(rng: Rng) -> bytes:
    return prefixes(rng) + bytes([rng.randrange(256)]) + modrm(rng) + immediate(rng, rng.choice((0, 1, 4)))


def two_bytes(rng: Rng) -> bytes:
    return prefixes(rng) + b"\x0f" + bytes([rng.randrange(256)]) + modrm(rng) + immediate(rng, rng.choice((0, 1, 4)))


def three_bytes(rng: Rng) -> bytes:
    opcode = b"\x0f" + rng.choice((b"\x38", b"\x3a")) + bytes([rng.randrange(256)])
    return prefixes(rng) + opcode + modrm(rng) + immediate(rng, 1)


def vectors(rng: Rng) -> bytes:
    """VEX, EVEX, XOP, 3DNow!: what this architecture does not have."""
    lead = rng.choice((b"\xc5", b"\xc4", b"\x62", b"\x8f", b"\x0f\x0f"))
    return lead + rng.randbytes(rng.randrange(1, 4)) + bytes([rng.randrange(256)]) + modrm(rng) + rng.randbytes(1)


def x87(rng: Rng) -> bytes:
    return prefixes(rng)[-1:] * (rng.random() < 0.1) + bytes([rng.randrange(0xD8, 0xE0)]) + modrm(rng)


def sse(rng: Rng) -> bytes:
    opcode = rng.choice((*range(0x10, 0x18), *range(0x28, 0x30), *range(0x50, 0x80), *range(0xC2, 0x100)))
    return rng.choice((b"", b"\x66", b"\xf2", b"\xf3")) + b"\x0f" + bytes([opcode]) + modrm(rng) + immediate(rng, 1)


def locked(rng: Rng) -> bytes:
    """LOCK before what may have it and what may not, on memory and on registers."""
    opcode = rng.choice(
        (
            *(bytes([row << 3 | column]) for row in range(8) for column in (0, 1)),
            *(b"\x80", b"\x81", b"\x83", b"\x86", b"\x87", b"\xf6", b"\xf7", b"\xfe", b"\xff", b"\x89", b"\x8b"),
            *(bytes([0x0F, second]) for second in (0xA3, 0xAB, 0xB3, 0xBB, 0xBA, 0xB0, 0xB1, 0xC0, 0xC1, 0xC7, 0x22)),
        )
    )
    rex = bytes([rng.randrange(0x40, 0x50)]) if rng.random() < 0.4 else b""
    return b"\xf0" + rex + opcode + modrm(rng) + immediate(rng, rng.choice((0, 1, 4)))


def system(rng: Rng) -> bytes:
    """What rings, tables, control and model-specific registers are about."""
    bare = bytes.fromhex("05 06 07 08 09 0b 0d 30 31 32 33 34 35 37 77 a0 a1 a2 a8 a9 aa b2 b4 b5 b9 ff")
    kind = rng.randrange(6)
    if kind == 0:
        return prefixes(rng) + b"\x0f" + bytes([rng.choice(bare)]) + modrm(rng)
    if kind == 1:
        return (
            prefixes(rng) + b"\x0f" + bytes([rng.choice((0x00, 0x01, 0x01, 0x18, 0xAE, 0xAE, 0xC7, 0xC7))]) + modrm(rng)
        )
    if kind == 2:  # control and debug registers
        return b"\x0f" + bytes([rng.randrange(0x20, 0x28), 0xC0 | rng.randrange(64)])
    if kind == 3:
        return rng.choice(
            (b"\xf4", b"\xfa", b"\xfb", b"\xcc", b"\xce", b"\xf1", b"\x9b", b"\xcf", b"\x48\xcf", b"\xd7")
        )
    if kind == 4:
        return b"\xcd" + bytes([rng.choice((0, 1, 2, 3, 4, 8, 13, 14, 0x80, rng.randrange(256)))])
    return b"\xf3" + bytes([rng.randrange(0x48, 0x50)]) + b"\x0f\xae" + modrm(rng)  # FSGSBASE


def branch(rng: Rng) -> bytes:
    """Short ways forward and back, mostly into the middle of something."""
    distance = rng.choice((-16, -9, -5, -4, -3, -2, -1, 0, 1, 2, 3, 5, 8, 13))
    kind = rng.randrange(6)
    if kind < 3:
        return bytes([rng.choice((0xEB, 0xE3, 0xE0, 0xE1, 0xE2, *range(0x70, 0x80))), distance & 0xFF])
    if kind == 3:
        return rng.choice((b"\xe8", b"\xe9", b"\x0f\x84", b"\x0f\x85")) + struct.pack("<i", distance)
    if kind == 4:
        return b"\xff" + bytes([rng.choice((0xD0, 0xE0, 0x13, 0x23)) | rng.randrange(8) * (rng.random() < 0.5)])
    return rng.choice((b"\xc3", b"\xc2" + immediate(rng, 2), b"\xf3\xc3", b"\xc9\xc3"))


def rewrite(rng: Rng) -> bytes:
    """Writes over code that is about to run, or puts code where data are and goes there."""
    if rng.random() < 0.6:
        return b"\xc6\x05" + struct.pack("<i", rng.randrange(-8, 16)) + rng.randbytes(1)  # mov byte [rip+x], y
    where = rng.choice((abi.PROGRAM_ADDRESS, abi.CONTROL_ADDRESS + 0x100, abi.GATE_OUT_ADDRESS))
    store = b"\x48\xb8" + rng.choice((b"\xe6\x10\xeb\xfc\xe6\x10\xeb\xfc", rng.randbytes(8))) + b"\x48\xa3"
    return (
        store
        + struct.pack("<Q", where)
        + b"\x48\xb8"
        + struct.pack("<Q", where)
        + rng.choice((b"\xff\xe0", b"\xff\xd0"))
    )


def string(rng: Rng) -> bytes:
    """String operations in both directions, with few turns and with more than there is memory."""
    direction = rng.choice((b"", b"\xfc", b"\xfd"))
    count = b"\x48\xb9" + struct.pack("<Q", rng.choice((0, 1, 7, 4096, 1 << 20, 1 << 32, 1 << 47, 2**64 - 1)))
    repeat = rng.choice((b"", b"\xf3", b"\xf2", b"\x67\xf3", b"\x66\xf3", b"\xf3\xf2"))
    wide = rng.choice((b"", b"\x48"))
    operation = bytes(
        [rng.choice((0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF, 0x6C, 0x6D, 0x6E, 0x6F))]
    )
    return direction + (count if rng.random() < 0.7 else b"") + repeat + wide + operation


def flags(rng: Rng) -> bytes:
    """Trap flag, nested task, alignment checks, interrupts off: through POPF."""
    if rng.random() < 0.3:
        return rng.choice((b"\x9c", b"\x9d", b"\x9e", b"\x9f", b"\x66\x9d", b"\xf8", b"\xfd", b"\xf5"))
    bit = rng.choice((0x100, 0x400, 0x3000, 0x4000, 0x10000, 0x20000, 0x40000, 0x200000, rng.getrandbits(22)))
    return b"\x9c\x48\x81\x0c\x24" + struct.pack("<I", bit) + b"\x9d"  # pushf; or [rsp], bit; popf


def far(rng: Rng) -> bytes:
    """Segments: loads of selectors, far jumps, returns from interrupts with frames of our own."""
    selector = rng.choice((0, 3, 8, 0x10, 0x20, 0x23, 0x28, 0x2B, 0x30, 0x33, 0x38, 0x4B, 0xFFFF, rng.getrandbits(16)))
    kind = rng.randrange(5)
    if kind == 0:  # mov eax, selector; mov segment, ax
        return b"\xb8" + struct.pack("<I", selector) + b"\x8e" + bytes([0xC0 | rng.randrange(8) << 3])
    if kind == 1:  # push selector; pop fs or gs
        return b"\x68" + struct.pack("<I", selector) + b"\x0f" + rng.choice((b"\xa1", b"\xa9"))
    if kind == 2:  # a far pointer in data, and a way through it
        pointer = struct.pack("<I", selector)
        load = b"\xc7\x43\x08" + pointer  # mov dword [rbx+8], selector
        return load + rng.choice(
            (b"\xff\x2b", b"\x48\xff\x2b", b"\xff\x1b", b"\x48\xff\x1b", b"\x0f\xb2\x03", b"\x0f\xb4\x03")
        )
    target = rng.choice((*ADDRESSES, abi.LIBOS_ADDRESS + 0x40))
    code, stack = b"\x68" + struct.pack("<I", selector), b"\x48\xb8" + struct.pack("<Q", target) + b"\x50"
    if kind == 3:
        return code + stack + rng.choice((b"\xcb", b"\x48\xcb", b"\xca\x08\x00"))
    eflags = b"\x68" + struct.pack("<I", rng.choice((0x3202, 0x3302, 0x7202, 0x23202, rng.getrandbits(22))))
    rsp = b"\x48\xb8" + struct.pack("<Q", rng.choice(ADDRESSES)) + b"\x50"
    return b"\x6a\x23" + rsp + eflags + b"\x6a\x2b" + stack + rng.choice((b"\x48\xcf", b"\xcf"))


def hypercall(rng: Rng) -> bytes:
    """Any port with odd arguments, through every form of OUT; the jump behind it may be missing."""
    pick = (*TIMES, *ADDRESSES, *range(8), rng.getrandbits(64))
    arguments = (
        b"\x48\xbf"
        + struct.pack("<Q", rng.choice(pick))
        + b"\x48\xbe"
        + struct.pack("<Q", rng.choice((0, 0, 1, *pick)))
    )
    port = rng.choice((*PORTS, *PORTS, *PORTS, rng.randrange(256)))
    out = bytes([0xE6, port])
    if rng.random() < 0.2:
        wide = rng.choice((port, rng.getrandbits(16)))
        out = (
            b"\x66\xba"
            + struct.pack("<H", wide)
            + rng.choice((b"\xee", b"\xef", b"\x66\xef", b"\xec", b"\xed", b"\xf3\x6e"))
        )
    elif rng.random() < 0.1:
        out = bytes([rng.choice((0xE4, 0xE5, 0xE7)), port])
    return arguments + out + rng.choice((b"\xeb\x00", b"\xeb\x00", b"\xeb\x00", b"", b"\xeb\xfe"))


def ring(rng: Rng) -> bytes:
    """Says something odd in the control page, and asks the VMM to look."""
    place = rng.choice((0, 4, 8, 0x10, 0x18, 0x1C, 0x1C, 0x1C, 0x20, 0x20, 0x28, 0x30, rng.randrange(0, 4096, 4)))
    value = rng.choice(
        (*IMMEDIATES, 8, 16, 24, 0x100, 0x4000, 0x10000, 0x10008, abi.LIBOS_ADDRESS, rng.getrandbits(32))
    )
    write = b"\xc7\x04\x25" + struct.pack("<II", abi.CONTROL_ADDRESS + place, value)  # mov dword [x], value
    return write + (b"\xe6\x15\xeb\x00" if rng.random() < 0.7 else b"")


def record(rng: Rng) -> bytes:
    """A record's header into the ring from the guest, nearly right."""
    at = abi.GATE_OUT_ADDRESS + rng.choice((0, 0, 0, 16, 24, abi.GATE_SIZE - 16, abi.GATE_SIZE - 8))
    length = rng.choice((0, 4, 8, 12, 16, 0x3FF0, 0x4000, 0x4001, 0xFFFFFFFF))
    kind = rng.randrange(8) | rng.choice((0, 0, 1, 2)) << 16
    stream = rng.choice((0, 1, 1, 1, 2, abi.EXCHANGE_BIT, abi.EXCHANGE_BIT | 1, 0xFFFFFFFF))
    words = (length, kind, stream, rng.choice((0, 0, 0, 1)))
    return b"".join(b"\xc7\x04\x25" + struct.pack("<II", at + 4 * n, word) for n, word in enumerate(words))


def memory(rng: Rng) -> bytes:
    """Loads and stores at addresses that mean something, and stacks that lie there."""
    load = b"\x48" + bytes([0xB8 | rng.randrange(8)]) + struct.pack("<Q", rng.choice(ADDRESSES))
    access = rng.choice(
        (b"\x48\x8b\x00", b"\x48\x89\x00", b"\x50", b"\x58", b"\x48\xff\x00", b"\xf0\x48\xff\x00", b"\x0f\xae\x00")
    )
    return load + (b"\x48\x89\xc4" if rng.random() < 0.1 else b"") + access


def junk(rng: Rng) -> bytes:
    return rng.randbytes(rng.randrange(1, 16))


FAMILIES: Final[tuple[tuple[Callable[[Rng], bytes], int], ...]] = (
    *((junk, 10), (one_byte, 12), (two_bytes, 14), (three_bytes, 5), (vectors, 3), (x87, 7), (sse, 7), (locked, 7)),
    *((system, 9), (branch, 8), (rewrite, 3), (string, 4), (flags, 4), (far, 6), (hypercall, 9), (ring, 5)),
    *((record, 3), (memory, 6)),
)
_MAKERS: Final = [maker for maker, _ in FAMILIES]
_WEIGHTS: Final = [weight for _, weight in FAMILIES]
REST: Final = b"\x48\xc7\xc7\xff\xff\xff\xff\xe6\x10\xeb\xf5"  # l: mov rdi, -1; out 0x10, al; jmp l
LENGTH_MAX: Final = 400


def change(rng: Rng) -> bytes:
    """Writes to pages of data, mostly to some that most machines have."""
    pages = (abi.PROGRAM_ADDRESS + 0x10000 + rng.randrange(20) * abi.PAGE_SIZE for _ in range(rng.randrange(1, 4)))
    return b"".join(b"\x48\xc7\x04\x25" + struct.pack("<Ii", page, rng.getrandbits(31)) for page in pages)


def program(rng: Rng) -> bytes:
    """One to a dozen pieces, at times cut short, and mostly a rest at the end so that not all of them run wild.

    Most of them end at a piece; so some only change memory, and there is something to park.
    """
    if rng.random() < 0.08:
        return change(rng) + REST
    makers = rng.choices(_MAKERS, _WEIGHTS, k=rng.choice((1, 1, 2, 2, 3, 4, 6, 8, 12)))
    pieces = [maker(rng) for maker in makers]
    if rng.random() < 0.1:
        pieces[-1] = pieces[-1][: rng.randrange(1, len(pieces[-1]) + 1)]
    return b"".join(pieces)[:LENGTH_MAX] + (REST if rng.random() < 0.8 else b"")
