"""Which instructions of a program a machine could not execute alike everywhere, by the lengths of instructions alone.

A linear sweep over a function's bytes. What it must know of an instruction is where the next one begins (Intel SDM
volume 2, appendix A). In 64-bit mode C4, C5 and 62 in an opcode's place can only begin VEX and EVEX instructions.
"""

from collections.abc import Iterator
from typing import Final


def _set(text: str) -> frozenset[int]:
    """Hexadecimal numbers and ranges."""
    spans = (word.split("-") for word in text.split())
    return frozenset(n for span in spans for n in range(int(span[0], 16), int(span[-1], 16) + 1))


_PREFIXES: Final = _set("26 2E 36 3E 64 65 66 67 F0 F2 F3")
_VECTOR: Final = _set("62 C4 C5")
_MODRM: Final = _set(
    "00-03 08-0B 10-13 18-1B 20-23 28-2B 30-33 38-3B 63 69 6B 80-8F C0 C1 C6 C7 D0-D3 D8-DF F6 F7 FE FF"
)
_BYTE: Final = _set("04 0C 14 1C 24 2C 34 3C 6A 6B 70-7F 80 83 A8 B0-B7 C0 C1 C6 CD E0-E7 EB")
_WORD: Final = _set("05 0D 15 1D 25 2D 35 3D 68 69 81 A9 C7")  # four bytes, two with the prefix 66
_FAR: Final = _set("E8 E9")
_NO_MODRM_0F: Final = _set("05-09 0B 0E 30-37 77 80-8F A0-A2 A8-AA C8-CF")
_BYTE_0F: Final = _set("0F 70-73 A4 AC BA C2 C4-C6")

# What a program may contain and should not execute: it is outside of the contract, or differs from host to host.
_RDTSC: Final = 0x31
_GROUP_9: Final = 0xC7
_GROUP_7: Final = 0x01
XGETBV: Final = 0xD0

AVX: Final = "AVX"
LOCKED_BIT_TEST: Final = "LOCK"  # before bt, bts, btr, btc of a register

_BIT_TESTS: Final = _set("A3 AB B3 BB")
_BIT_TEST_GROUP: Final = 0xBA
_LOCK: Final = 0xF0


def questionable(code: bytes) -> Iterator[tuple[int, str]]:
    """Offset and kind of every instruction that is not for a machine; AVX ends the sweep."""
    at = 0
    while at < len(code):
        try:
            kind, size = _instruction(code, at)
        except IndexError:  # the last one is cut: not code, or not ours to judge
            return
        if kind:
            yield at, kind
        if kind == AVX:
            return
        at += size


def _instruction(code: bytes, start: int) -> tuple[str, int]:
    """Kind, empty for what is harmless, and length of the instruction at `start`."""
    at, half, wide, short, lock = start, False, False, False, False
    while code[at] in _PREFIXES:
        half |= code[at] == 0x66
        short |= code[at] == 0x67
        lock |= code[at] == _LOCK
        at += 1
    if code[at] & 0xF0 == 0x40:
        wide = bool(code[at] & 8)
        at += 1
    opcode = code[at]
    at += 1
    if opcode in _VECTOR:
        return AVX, 0
    if opcode == 0x0F:
        kind, end = _two_bytes(code, at)
        if lock and code[at + 1] >= 0xC0 and (code[at] in _BIT_TESTS or _is_grouped_bit_test(code, at)):
            kind = LOCKED_BIT_TEST
        return kind, end - start
    if opcode in _MODRM:
        group = code[at] >> 3 & 7
        at = _operand(code, at)
        if opcode in (0xF6, 0xF7) and group < 2:
            at += 1 if opcode == 0xF6 else 2 if half else 4
    if opcode in _BYTE:
        at += 1
    elif opcode in _WORD:
        at += 2 if half else 4
    elif opcode in _FAR:
        at += 4
    elif opcode & 0xF8 == 0xB8:
        at += 8 if wide else 2 if half else 4
    elif opcode & 0xFC == 0xA0:
        at += 4 if short else 8
    elif opcode in (0xC2, 0xCA):
        at += 2
    elif opcode == 0xC8:
        at += 3
    return "", at - start


def _is_grouped_bit_test(code: bytes, at: int) -> bool:
    return code[at] == _BIT_TEST_GROUP and bool(code[at + 1] & 0x20)


def _two_bytes(code: bytes, at: int) -> tuple[str, int]:
    """Kind and end of the instruction whose opcode follows 0F."""
    opcode, kind = code[at], ""
    at += 1
    if opcode in (0x38, 0x3A):
        return "", _operand(code, at + 1) + (opcode == 0x3A)
    if opcode == _RDTSC:
        kind = "RDTSC"
    elif opcode == _GROUP_9 and code[at] >= 0xF0:
        kind = "RDRAND"
    elif opcode == _GROUP_7 and code[at] == XGETBV:
        kind = "XGETBV"
    if opcode not in _NO_MODRM_0F:
        at = _operand(code, at)
    if opcode in _BYTE_0F:
        at += 1
    elif opcode & 0xF0 == 0x80:
        at += 4
    return kind, at


def _operand(code: bytes, at: int) -> int:
    """The end of ModRM, SIB and displacement."""
    mode, register = code[at] >> 6, code[at] & 7
    at += 1
    if mode == 3:
        return at
    base = register
    if register == 4:
        base = code[at] & 7
        at += 1
    return at + (1 if mode == 1 else 4 if mode == 2 or base == 5 else 0)
