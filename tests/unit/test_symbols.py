"""Symbols: names for addresses, and what a blob that was made to be large may cost."""

import bisect
import tracemalloc

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from vmimage.errors import FormatError
from vmimage.manifest import SYMBOLS_RAW_MAX
from vmimage.symbols import LINES_MAX, NAME_MAX, Symbol, SymbolTable, encode, is_line

MIB = 1 << 20


def packed(text: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=9).compress(text)


def test_the_nearest_entry_below_an_address_names_it() -> None:
    symbols = [
        Symbol(0x1000, 32, "f"),
        Symbol(0x1000, 8, "f (f.c:1)"),
        Symbol(0x1010, 4, "f (f.c:2)"),
        Symbol(9, 0, "g"),
    ]
    table = SymbolTable.decode(encode(symbols))
    named = {
        address: table.name(address) for address in (9, 10, 0x1000, 0x1003, 0x1010, 0x1020, 0, 1 << 63, 1 << 70, -1)
    }
    assert named == {
        9: "g",
        10: "0xa",
        0x1000: "f (f.c:1)",
        0x1003: "f (f.c:1)+0x3",
        0x1010: "f (f.c:2)",
        0x1020: "0x1020",
        0: "0x0",
        1 << 63: "0x8000000000000000",
        1 << 70: f"{1 << 70:#x}",
        -1: "-0x1",
    }
    assert [symbol.name for symbol in table] == ["g", "f", "f (f.c:1)", "f (f.c:2)"]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, (1 << 64) - 1) | st.integers(0, 40),
            st.integers(0, (1 << 64) - 1) | st.integers(0, 8),
            st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=6),
        )
    ),
    st.integers(0, (1 << 64) - 1) | st.integers(0, 50),
)
def test_it_names_as_a_table_of_objects_would(entries: list[tuple[int, int, str]], address: int) -> None:
    symbols = [Symbol(*entry) for entry in entries]
    table = SymbolTable.decode(encode(symbols))
    in_order = sorted(symbols, key=lambda symbol: (symbol.address, is_line(symbol), symbol.size))
    assert [(s.address, s.size, is_line(s)) for s in table] == [(s.address, s.size, is_line(s)) for s in in_order]
    place = bisect.bisect_right([symbol.address for symbol in in_order], address) - 1
    covered = place >= 0 and address - in_order[place].address < max(in_order[place].size, 1)
    assert table.name(address).startswith("0x") or covered
    if covered:
        found = [s for s in in_order if (s.address, s.size) == (in_order[place].address, in_order[place].size)]
        offset = address - in_order[place].address
        assert table.name(address) in [f"{s.name}+{offset:#x}" if offset else s.name for s in found]


@pytest.mark.parametrize(
    "text",
    [
        b"\n",
        b"1\n",
        b"1 2\n",
        b" 1 a\n",
        b"1  a\n",
        b"1 2 a",
        b"1 2 a\n3",
        b"1 2 a\n3 \n",
        b"x 2 a\n",
        b"1 g a\n",
        b"-1 2 a\n",
        b"0x1 2 a\n",
        b"12345678901234567 1 a\n",
        b"1 12345678901234567 a\n",
    ],
)
def test_a_line_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError, match="expected"):
        SymbolTable.decode(packed(text))


@pytest.mark.parametrize("blob", [b"", b"no frame", packed(b"1 2 a\n") + b"x", packed(b"1 2 a\n")[:-1]])
def test_what_is_no_frame_is_refused(blob: bytes) -> None:
    with pytest.raises(FormatError, match="zstd frame expected"):
        SymbolTable.decode(blob)


def test_no_symbols_and_a_long_name() -> None:
    assert SymbolTable.decode(packed(b"")).name(5) == "0x5"
    assert len(SymbolTable.decode(packed(b"5 1 " + b"n" * 100_000 + b"\n")).name(5)) == NAME_MAX
    assert SymbolTable.decode(packed(b"5 1 \xff\n")).name(5) == "\ufffd"


def test_what_is_too_large_is_refused_before_it_is_unpacked() -> None:
    bomb = packed(b"0 0 a\n" * (64 * MIB // 6))
    assert len(bomb) < 16 << 10
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=f"at most {SYMBOLS_RAW_MAX} bytes of content expected"):
            SymbolTable.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("lines", [LINES_MAX, LINES_MAX + 1, SYMBOLS_RAW_MAX // 6])
def test_what_the_most_lines_cost_is_a_small_multiple_of_their_bytes(lines: int) -> None:
    bomb = packed(b"0 0 a\n" * lines)
    tracemalloc.start()
    try:
        if lines > LINES_MAX:
            with pytest.raises(FormatError, match=f"at most {LINES_MAX} lines expected, got {lines}"):
                SymbolTable.decode(bomb)
        else:
            table = SymbolTable.decode(bomb)
            assert len(table) == lines
            assert table.name(0) == "a"
            assert table.cost_bytes <= 32 * lines
        assert tracemalloc.get_traced_memory()[1] < SYMBOLS_RAW_MAX + 10 * MIB
    finally:
        tracemalloc.stop()


def test_a_program_with_too_many_symbols_keeps_its_functions() -> None:
    functions = [Symbol(16 * n, 16, f"f{n}") for n in range(LINES_MAX // 2 + 1)]
    lines = [Symbol(16 * n, 4, f"f{n} (f.c:{n})") for n in range(LINES_MAX // 2 + 1)]
    table = SymbolTable.decode(encode([*functions, *lines]))
    assert len(table) == len(functions)
    assert table.name(16 * 7) == "f7"
