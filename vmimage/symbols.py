"""Names for addresses: an image's symbols, as a crash report needs them.

The blob is one zstd frame of lines "hexaddress hexsize name\\n", sorted by address within the libOS and within the
program. A line of a function is an entry of its own, named "function (file.c:12)", so that the nearest entry below
an address is the one that says most.

A table keeps the text as it is and numbers beside it, not an object a line: whoever writes symbols chooses how many
lines there are, and a line may be six bytes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from vmimage.compression import content_size, unpack
from vmimage.errors import FormatError
from vmimage.manifest import SYMBOLS_RAW_MAX

LINES_MAX: Final = 1 << 18  # 28 times what the JavaScript runtime has; parsed, a line takes some 60 bytes for a moment
NAME_MAX: Final = 512  # bytes that are shown of a name
_DIGITS_MAX: Final = 16  # of a 64-bit number

_NO_DIGIT: Final = 0xFF
_HEX: Final = np.full(256, _NO_DIGIT, dtype=np.uint8)  # value of a digit's byte
for _digit in range(16):
    _HEX[[ord(f"{_digit:x}"), ord(f"{_digit:X}")]] = _digit


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function, an object, or a line of a function ("name (file.c:12)"); `size` in bytes, 0 when nobody says."""

    address: int
    size: int
    name: str


def encode(symbols: Iterable[Symbol]) -> bytes:
    """The blob; of more than `LINES_MAX` symbols the lines of functions are left out, then the last ones."""
    return zstandard.ZstdCompressor(level=9).compress(_text_of(symbols))


def _text_of(symbols: Iterable[Symbol]) -> bytes:
    kept = list(symbols)
    if len(kept) > LINES_MAX:
        kept = [symbol for symbol in kept if not is_line(symbol)][:LINES_MAX]
    return "".join(f"{symbol.address:x} {symbol.size:x} {symbol.name}\n" for symbol in kept).encode()


def is_line(symbol: Symbol) -> bool:
    """Whether an entry is a line of a function, not the function."""
    return symbol.name.endswith(")")


class SymbolTable:
    """Symbols sorted by address; a line comes after the function that begins with it."""

    def __init__(self, text: bytes) -> None:
        """:param text: the lines.
        :raises FormatError: more than `LINES_MAX` of them, or one that is none.
        """
        if (count := text.count(b"\n")) > LINES_MAX:
            raise FormatError(f"symbols: at most {LINES_MAX} lines expected, got {count}")
        if text and not text.endswith(b"\n"):
            raise FormatError(f"symbols: whole lines expected, got {text[-20:]!r} at the end")
        self._text = text
        raw = np.frombuffer(text, dtype=np.uint8)
        ends = np.flatnonzero(raw == ord("\n")).astype(np.uint32)
        starts = np.concatenate([np.zeros(min(1, count), dtype=np.uint32), ends[:-1] + np.uint32(1)])
        addresses, sizes_at = _numbers(raw, starts)
        sizes, names_at = _numbers(raw, sizes_at)
        if bool((names_at > ends).any()):
            raise FormatError("symbols: lines of address, size and name expected")
        lines = raw[np.maximum(ends, 1) - np.uint32(1)] == ord(")")
        order = np.lexsort((sizes, lines, addresses))
        self._addresses, self._sizes = addresses[order], sizes[order]
        self._names_at, self._ends = names_at[order], ends[order]

    @classmethod
    def decode(cls, blob: bytes) -> "SymbolTable":
        """Parse a blob.

        :raises FormatError: not zstd, larger than `SYMBOLS_RAW_MAX` unpacked, too many lines, or a line that is none.
        """
        return cls(unpack("symbols", blob, SYMBOLS_RAW_MAX))

    @classmethod
    def of(cls, symbols: Iterable[Symbol]) -> "SymbolTable":
        """A table of these, as `encode` would write them."""
        return cls(_text_of(symbols))

    @property
    def cost_bytes(self) -> int:
        """What it takes in memory."""
        return len(self._text) + sum(a.nbytes for a in (self._addresses, self._sizes, self._names_at, self._ends))

    def __len__(self) -> int:
        return len(self._addresses)

    def __iter__(self) -> Iterator[Symbol]:
        return (self._symbol(place) for place in range(len(self)))

    def _symbol(self, place: int) -> Symbol:
        start, end = int(self._names_at[place]), int(self._ends[place])
        name = self._text[start : min(end, start + NAME_MAX)].decode("utf-8", "replace")
        return Symbol(int(self._addresses[place]), int(self._sizes[place]), name)

    def name(self, address: int) -> str:
        """`function+0x12`, `function (file.c:12)+0x3`, or the bare address where no symbol covers it."""
        if not 0 <= address < 1 << 64:
            return f"{address:#x}"
        place = int(np.searchsorted(self._addresses, np.uint64(address), side="right")) - 1
        if place >= 0:
            symbol = self._symbol(place)
            offset = address - symbol.address
            if offset < max(symbol.size, 1):
                return f"{symbol.name}+{offset:#x}" if offset else symbol.name
        return f"{address:#x}"


def raw_bytes(blob: bytes) -> int:
    """How large a blob's lines are, before a byte of it is unpacked.

    :raises FormatError: it does not say so, or more than `SYMBOLS_RAW_MAX`.
    """
    return content_size("symbols", blob, SYMBOLS_RAW_MAX)


def _numbers(raw: NDArray[np.uint8], starts: NDArray[np.uint32]) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """The hexadecimal number at each place, all at once, and where it goes on behind the blank that follows.

    :raises FormatError: another character, no digit, or more than `_DIGITS_MAX`.
    """
    values, places = np.zeros(len(starts), dtype=np.uint64), starts.copy()
    unended = np.arange(len(starts), dtype=np.uint32)  # numbers that go on
    for length in range(_DIGITS_MAX + 1):
        if not len(unended):
            return values, places
        characters = raw[places[unended]]  # before a newline, which ends every line and every number
        digits = _HEX[characters]
        ended = digits == _NO_DIGIT
        if bool((characters[ended] != ord(" ")).any()) or (length == 0 and bool(ended.any())):
            break
        places[unended] += np.uint32(1)
        unended, digits = unended[~ended], digits[~ended]
        values[unended] = values[unended] << np.uint64(4) | digits
    if len(unended):
        raise FormatError("symbols: lines of address, size and name expected")
    return values, places
