"""Is every program that a machine could not run refused, with a word about why?"""

import struct
from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from origin.bake.elf import Segment, parse_program
from vmimage import abi
from vmimage.errors import PublisherError
from vmimage.symbols import Symbol

R, W, X = 4, 2, 1
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
ET_EXEC, ET_DYN, EM_X86_64, EM_AARCH64 = 2, 3, 62, 183
CODE = abi.PROGRAM_ADDRESS
DATA = CODE + 0x1000


class Part(NamedTuple):
    """A program header and what it loads."""

    address: int
    data: bytes
    flags: int
    memory_size: int | None = None
    type: int = PT_LOAD


TEXT = Part(CODE, b"\x90" * 32, R | X)


def elf(
    *parts: Part,
    entry: int = CODE,
    machine: int = EM_X86_64,
    kind: int = ET_EXEC,
    symbols: tuple[tuple[str, int, int], ...] = (),
) -> bytes:
    """An ELF file as System V gABI chapter 4 and 5 draw it."""
    content = bytearray(64 + 56 * len(parts))
    headers = b""
    for part in parts:
        size = len(part.data) if part.memory_size is None else part.memory_size
        headers += struct.pack(
            "<IIQQQQQQ", part.type, part.flags, len(content), part.address, part.address, len(part.data), size, 8
        )
        content += part.data
    names = b"\0" + b"".join(name.encode() + b"\0" for name, _, _ in symbols)
    table, at = bytes(24), 1
    for name, address, size in symbols:
        table += struct.pack("<IBBHQQ", at, 0x12, 0, 1, address, size)  # global function in section 1
        at += len(name) + 1
    section_names = b"\0.symtab\0.strtab\0.shstrtab\0"
    places = []
    for data in (table, names, section_names):
        places.append((len(content), len(data)))
        content += data
    sections = bytes(64)
    for name_at, section_type, (offset, size), link, entry_size in (
        (1, 2, places[0], 2, 24),
        (9, 3, places[1], 0, 0),
        (17, 3, places[2], 0, 0),
    ):
        sections += struct.pack("<IIQQQQIIQQ", name_at, section_type, 0, 0, offset, size, link, 1, 8, entry_size)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    content[:64] = ident + struct.pack(
        "<HHIQQQIHHHHHH", kind, machine, 1, entry, 64, len(content), 0, 64, 56, len(parts), 64, 4, 3
    )
    content[64 : 64 + len(headers)] = headers
    return bytes(content) + sections


GOOD = elf(TEXT, Part(DATA, b"data", R | W, 0x3000), symbols=(("main", CODE, 16), ("helper", CODE + 16, 0)))


def test_segments_and_symbols() -> None:
    program = parse_program(GOOD)
    assert program.entry == CODE
    assert program.segments == (
        Segment(CODE, b"\x90" * 32, 32, "rx"),
        Segment(DATA, b"data", 0x3000, "rw"),
    )
    assert program.symbols == (Symbol(CODE, 16, "main"), Symbol(CODE + 16, 0, "helper"))


def test_sorted_and_without_symbols() -> None:
    program = parse_program(elf(Part(DATA, b"x", R), Part(0x300000, b"", R | W, 0x1000), TEXT))
    assert [segment.access for segment in program.segments] == ["rx", "r", "rw"]
    assert program.symbols == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ELF"),
        (b"#!/bin/sh\n", "ELF"),
        (b"\x7fELF\x01\x01\x01" + bytes(60), "damaged|x86-64"),
        (elf(TEXT, machine=EM_AARCH64), "x86-64"),
        (elf(TEXT, kind=1), "ET_REL"),
        (elf(TEXT, Part(DATA, b"/lib/ld.so\0", R, type=PT_INTERP)), "static"),
        (elf(TEXT, Part(DATA, struct.pack("<4Q", 1, 1, 0, 0), R, type=PT_DYNAMIC)), "-static"),
        (elf(), "segments"),
        (elf(TEXT, Part(DATA, b"x", R | W | X)), "writable and executable"),
        (elf(TEXT, Part(DATA, b"x", W | X)), "writable and executable"),
        (elf(TEXT, Part(DATA, b"x", 0)), "readable"),
        (elf(TEXT, Part(abi.GATE_IN_ADDRESS, b"x", R)), "addresses"),
        (elf(TEXT, Part(abi.MEMORY_MAX - 1, b"xx", R)), "addresses"),
        (elf(TEXT, Part((1 << 64) - 1, b"x", R, 2)), "addresses"),
        (elf(TEXT, Part(DATA, b"xxxx", R, 2)), "bytes expected"),
        (elf(TEXT, Part(CODE + 16, b"x", R | X)), "apart"),
        (elf(TEXT, Part(CODE + 64, b"x", R | W)), "apart"),
        (elf(TEXT, entry=CODE + 32), "entry"),
        (elf(TEXT, Part(DATA, b"x" * 8, R | W), entry=DATA), "entry"),
        (elf(TEXT, *(Part(DATA + i * 0x1000, b"x", R) for i in range(64))), "segments"),
    ],
)
def test_refused(data: bytes, reason: str) -> None:
    with pytest.raises(PublisherError, match=reason) as refused:
        parse_program(data)
    assert "\n" not in str(refused.value)


@given(st.integers(0, len(GOOD) - 1))
@settings(max_examples=150)
def test_a_truncated_file_raises_nothing_else(size: int) -> None:
    with suppress(PublisherError):
        parse_program(GOOD[:size])


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_a_damaged_file_raises_nothing_else_and_keeps_the_rules(position: int, flip: int) -> None:
    data = bytearray(GOOD)
    data[position] ^= flip
    try:
        program = parse_program(bytes(data))
    except PublisherError:
        return
    assert all(abi.LIBOS_ADDRESS <= s.address <= s.address + s.memory_size <= abi.MEMORY_MAX for s in program.segments)
    assert any(s.access == "rx" for s in program.segments)
