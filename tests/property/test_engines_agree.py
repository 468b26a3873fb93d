"""Both engines fed the same instruction sequences: registers, flags, memory and exits must be the same.

Sequences are drawn from templates of the instructions that compilers emit for x86-64-v2. Where the architecture leaves
flags undefined, an instruction that defines them follows. An instruction that differs is fixed in an engine or refused
by the build; `docs/adr/` says which.
"""

import random
import struct
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edge.vmm.engines.engine import Engine, Exit, Hypercall
from edge.vmm.engines.kvm import KvmEngine
from edge.vmm.engines.unicorn import UnicornEngine
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, PageTemplate
from vmimage import abi
from vmimage.manifest import Region
from vmimage.snapshot import RFLAGS_FIXED, Registers

pytestmark = pytest.mark.kvm

SEEDS = 300
LENGTH = 40
CODE, DATA = abi.LIBOS_ADDRESS, abi.PROGRAM_ADDRESS
STACK = DATA + 3 * abi.PAGE_SIZE
EXIT = b"\xe6\x10\xeb\xfc"  # out 0x10,al; jmp back
DEFINE_FLAGS = b"\x4d\x39\xc8"  # cmp r8,r9
# RBX points to the data and RSP to the stack: templates do not write them.
TARGETS = (0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
Rng = random.Random


def rex(rng: Rng, *, wide: bool, reg: int, rm: int) -> bytes:
    del rng
    return bytes([0x40 | wide << 3 | reg >> 3 << 2 | rm >> 3])


def modrm(reg: int, rm: int) -> bytes:
    return bytes([0xC0 | (reg & 7) << 3 | rm & 7])


def data_operand(rng: Rng, reg: int) -> bytes:
    """ModRM and displacement of [rbx + disp32] in the first data page."""
    return bytes([0x83 | (reg & 7) << 3]) + struct.pack("<i", rng.randrange(0, 4000) & ~15)


def two(rng: Rng) -> tuple[int, int]:
    return rng.choice(TARGETS), rng.choice(TARGETS)


def alu(rng: Rng) -> bytes:
    """add or adc sbb and sub xor cmp test, on 8 to 64 bits."""
    reg, rm = two(rng)
    opcode = rng.choice((0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85))
    size = rng.choice(("8", "16", "32", "64"))
    prefix = b"\x66" if size == "16" else b""
    opcode -= size == "8"
    defined = b"" if opcode & 0xF8 not in (0x08, 0x20, 0x30) and opcode not in (0x84, 0x85) else DEFINE_FLAGS  # AF
    return prefix + rex(rng, wide=size == "64", reg=reg, rm=rm) + bytes([opcode]) + modrm(reg, rm) + defined


def alu_memory(rng: Rng) -> bytes:
    reg = rng.choice(TARGETS)
    opcode = rng.choice((0x01, 0x03, 0x11, 0x29, 0x2B, 0x39, 0x3B, 0x89, 0x8B))
    return rex(rng, wide=True, reg=reg, rm=3) + bytes([opcode]) + data_operand(rng, reg)


def move_immediate(rng: Rng) -> bytes:
    rm = rng.choice(TARGETS)
    value = rng.choice((0, 1, 2**63, 2**64 - 1, 2**31, rng.getrandbits(64), rng.getrandbits(16)))
    return bytes([0x48 | rm >> 3, 0xB8 | rm & 7]) + struct.pack("<Q", value)


def shift(rng: Rng) -> bytes:
    """rol ror shl shr sar by an immediate."""
    rm, kind = rng.choice(TARGETS), rng.choice((0, 1, 4, 5, 7))
    wide = rng.random() < 0.5
    count = rng.randrange(0, 64)
    return rex(rng, wide=wide, reg=0, rm=rm) + b"\xc1" + modrm(kind, rm) + bytes([count]) + DEFINE_FLAGS


def multiply(rng: Rng) -> bytes:
    reg, rm = two(rng)
    form = rng.choice(("imul2", "mul", "imul1"))
    if form == "imul2":
        return rex(rng, wide=True, reg=reg, rm=rm) + b"\x0f\xaf" + modrm(reg, rm) + DEFINE_FLAGS
    return rex(rng, wide=True, reg=0, rm=rm) + b"\xf7" + modrm(4 if form == "mul" else 5, rm) + DEFINE_FLAGS


def divide(rng: Rng) -> bytes:
    """xor edx,edx; div or idiv: faults when the divisor is zero."""
    rm = rng.choice(TARGETS)
    return b"\x31\xd2" + rex(rng, wide=True, reg=0, rm=rm) + b"\xf7" + modrm(rng.choice((6, 7)), rm) + DEFINE_FLAGS


def bits(rng: Rng) -> bytes:
    """popcnt; bsf and bsr of something that is not zero; bt and its kin; bswap."""
    reg, rm = two(rng)
    prefix = rex(rng, wide=True, reg=reg, rm=rm)
    form = rng.choice(("popcnt", "bsf", "bsr", "bt", "bts", "btr", "btc", "bswap"))
    if form == "popcnt":
        return b"\xf3" + prefix + b"\x0f\xb8" + modrm(reg, rm)
    if form in ("bsf", "bsr"):
        not_zero = rex(rng, wide=True, reg=0, rm=rm) + b"\x83" + modrm(1, rm) + b"\x10"  # or rm,16
        return not_zero + prefix + (b"\x0f\xbc" if form == "bsf" else b"\x0f\xbd") + modrm(reg, rm) + DEFINE_FLAGS
    if form == "bswap":
        return bytes([0x48 | rm >> 3, 0x0F, 0xC8 | rm & 7])
    opcode = {"bt": 0xA3, "bts": 0xAB, "btr": 0xB3, "btc": 0xBB}[form]
    return prefix + bytes([0x0F, opcode]) + modrm(reg, rm) + DEFINE_FLAGS


def conditional(rng: Rng) -> bytes:
    """setcc, cmovcc."""
    reg, rm = two(rng)
    code = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15))
    if rng.random() < 0.5:
        return rex(rng, wide=False, reg=0, rm=rm) + bytes([0x0F, 0x90 | code]) + modrm(0, rm)
    return rex(rng, wide=True, reg=reg, rm=rm) + bytes([0x0F, 0x40 | code]) + modrm(reg, rm)


def exchange(rng: Rng) -> bytes:
    """xadd, lock cmpxchg, xchg with memory."""
    reg = rng.choice(TARGETS)
    prefix = rex(rng, wide=True, reg=reg, rm=3)
    return rng.choice(
        (
            b"\xf0" + prefix + b"\x0f\xc1" + data_operand(rng, reg),
            b"\xf0" + prefix + b"\x0f\xb1" + data_operand(rng, reg),
            prefix + b"\x87" + data_operand(rng, reg),
        )
    )


def strings(rng: Rng) -> bytes:
    """lea rsi,[rbx+a]; lea rdi,[rbx+b]; mov ecx,n; rep movs, stos, scas or cmps."""
    first, second, count = rng.randrange(0, 1500), rng.randrange(1500, 3000), rng.randrange(0, 100)
    setup = b"\x48\x8d\xb3" + struct.pack("<i", first) + b"\x48\x8d\xbb" + struct.pack("<i", second)
    setup += b"\xb9" + struct.pack("<I", count)
    return setup + rng.choice((b"\xf3\xa4", b"\xf3\x48\xa5", b"\xf3\xaa", b"\xf2\xae", b"\xf3\xa6")) + DEFINE_FLAGS


def stack(rng: Rng) -> bytes:
    """push; pop, and the flags by the same way."""
    reg, rm = two(rng)
    if rng.random() < 0.3:
        return b"\x4d\x39\xc8\x9c" + bytes([0x40 | rm >> 3, 0x58 | rm & 7]) + only_arithmetic_flags(rm)
    return bytes([0x40 | reg >> 3, 0x50 | reg & 7]) + bytes([0x40 | rm >> 3, 0x58 | rm & 7])


def only_arithmetic_flags(rm: int) -> bytes:
    """and rm,0x8d5; push rm; pop rm: IF and IOPL are the VMM's, and may read differently, also in what was pushed."""
    mask = bytes([0x48 | rm >> 3, 0x81]) + modrm(4, rm) + struct.pack("<i", 0x8D5)
    return mask + bytes([0x40 | rm >> 3, 0x50 | rm & 7, 0x40 | rm >> 3, 0x58 | rm & 7]) + DEFINE_FLAGS


def xmm(rng: Rng) -> tuple[int, int]:
    return rng.randrange(16), rng.randrange(16)


def sse_integer(rng: Rng) -> bytes:
    """paddb..q psubb..q pand por pxor pcmpeq pcmpgt pmullw punpck* pshufb pmaxub pminub."""
    reg, rm = xmm(rng)
    prefix = b"\x66" + rex(rng, wide=False, reg=reg, rm=rm)
    if rng.random() < 0.2:
        return prefix + b"\x0f\x38\x00" + modrm(reg, rm)  # pshufb
    choices = (0xFC, 0xFD, 0xFE, 0xD4, 0xF8, 0xF9, 0xFA, 0xFB, 0xDB, 0xEB, 0xEF, 0x74, 0x75, 0x76, 0x64, 0x65, 0x66)
    opcode = rng.choice((*choices, 0xD5, 0x60, 0x61, 0x62, 0x68, 0xDE, 0xDA))
    return prefix + bytes([0x0F, opcode]) + modrm(reg, rm)


def sse_float(rng: Rng) -> bytes:
    """cvtsi2sd from an integer, then addsd mulsd subsd divsd sqrtsd minsd maxsd; back by cvttsd2si; ucomisd."""
    reg, rm = xmm(rng)
    general = rng.choice(TARGETS)
    load = b"\xf2" + rex(rng, wide=True, reg=reg, rm=general) + b"\x0f\x2a" + modrm(reg, general)
    load += b"\xf2" + rex(rng, wide=True, reg=rm, rm=(general + 1) % 3) + b"\x0f\x2a" + modrm(rm, (general + 1) % 3)
    opcode = rng.choice((0x58, 0x59, 0x5C, 0x5E, 0x51, 0x5D, 0x5F))
    work = b"\xf2" + rex(rng, wide=False, reg=reg, rm=rm) + bytes([0x0F, opcode]) + modrm(reg, rm)
    back = b"\xf2" + rex(rng, wide=True, reg=general, rm=reg) + b"\x0f\x2c" + modrm(general, reg)
    compare = b"\x66" + rex(rng, wide=False, reg=reg, rm=rm) + b"\x0f\x2e" + modrm(reg, rm)
    return load + work + rng.choice((back, compare, b""))


def sse_memory(rng: Rng) -> bytes:
    """movdqa, movups, movq to and from memory."""
    reg = rng.randrange(16)
    prefix = rex(rng, wide=False, reg=reg, rm=3)
    return rng.choice(
        (b"\x66" + prefix + b"\x0f\x6f", b"\x66" + prefix + b"\x0f\x7f", prefix + b"\x0f\x10")
    ) + data_operand(rng, reg)


def crc(rng: Rng) -> bytes:
    reg, rm = two(rng)
    return b"\xf2" + rex(rng, wide=True, reg=reg, rm=rm) + b"\x0f\x38\xf1" + modrm(reg, rm)


TEMPLATES: tuple[Callable[[Rng], bytes], ...] = (
    *(alu, alu_memory, move_immediate, shift, multiply, divide, bits, conditional, exchange, strings, stack),
    *(sse_integer, sse_float, sse_memory, crc),
)


class Pair:
    """Both engines over one memory."""

    def __init__(self) -> None:
        self.memory = GuestMemory(BaseMemory(None), abi.MEMORY_MIN)
        regions = [
            Region(CODE, CODE + 2 * abi.PAGE_SIZE, "rx"),
            Region(DATA, DATA + 4 * abi.PAGE_SIZE, "rw"),
        ]
        self.memory.bind(PageTemplate(regions, abi.MEMORY_MIN))
        self.engines: tuple[Engine, ...] = (UnicornEngine(self.memory), KvmEngine(self.memory))
        self.data = slice(DATA // abi.PAGE_SIZE, DATA // abi.PAGE_SIZE + 4)

    def outcomes(self, code: bytes, registers: Registers, data: bytes) -> list[tuple[Exit, Registers, bytes]]:
        self.memory.write(CODE, code)
        results = []
        for engine in self.engines:
            self.memory.write(DATA, data)
            engine.flush_code(np.array([CODE // abi.PAGE_SIZE], dtype=np.uint32))
            engine.load(registers)
            results.append((engine.run(), engine.save(), self.memory.pages[self.data].tobytes()))
        return results


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    for engine in made.engines:
        engine.close()


def start(rng: Rng) -> Registers:
    gpr = [rng.choice((rng.getrandbits(64), rng.getrandbits(8), 0, 2**63)) for _ in range(16)]
    gpr[3], gpr[4] = DATA, STACK
    area = bytearray(Registers().fxsave)
    area[160:416] = rng.randbytes(256)
    return Registers(tuple(gpr), CODE, RFLAGS_FIXED, 0, 0, bytes(area))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.__name__)
def test_one_kind_of_instruction(template: Callable[[Rng], bytes], pair: Pair) -> None:
    for seed in range(SEEDS):
        rng = random.Random(seed)
        code = template(rng) + EXIT
        compare(pair, code, rng, f"{template.__name__} seed {seed}")


def test_sequences_of_instructions_end_alike_on_both_engines(pair: Pair) -> None:
    for seed in range(SEEDS):
        rng = random.Random(1_000_000 + seed)
        code = b"".join(rng.choice(TEMPLATES)(rng) for _ in range(LENGTH)) + EXIT
        compare(pair, code, rng, f"sequence seed {seed}")


def compare(pair: Pair, code: bytes, rng: Rng, what: str) -> None:
    registers, data = start(rng), rng.randbytes(4 * abi.PAGE_SIZE)
    (first, a, memory_a), (second, b, memory_b) = pair.outcomes(code, registers, data)
    where = f"{what}: {code.hex()}"
    assert first == second, where
    if first == Hypercall(abi.PORT_IDLE):
        assert a.gpr == b.gpr, where
        assert a.rflags == b.rflags, where
        assert a.fxsave[160:416] == b.fxsave[160:416], where
        assert memory_a == memory_b, where
