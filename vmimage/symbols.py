"""Names for addresses: an image's symbols, as a crash report needs them.

The blob is one zstd frame of lines "hexaddress hexsize name\\n", sorted by address within the libOS and within the
program. A line of a function is an entry of its own, named "function (file.c:12)", so that the nearest entry below
an address is the one that says most.
"""

import bisect
from collections.abc import Iterable

import zstandard

from vmimage.elf import Symbol
from vmimage.errors import FormatError
from vmimage.manifest import SYMBOLS_RAW_MAX


def encode(symbols: Iterable[Symbol]) -> bytes:
    """The blob."""
    lines = "".join(f"{symbol.address:x} {symbol.size:x} {symbol.name}\n" for symbol in symbols)
    return zstandard.ZstdCompressor(level=9).compress(lines.encode())


def is_line(symbol: Symbol) -> bool:
    """Whether an entry is a line of a function, not the function."""
    return symbol.name.endswith(")")


class SymbolTable:
    """Symbols sorted by address."""

    def __init__(self, symbols: Iterable[Symbol]) -> None:
        # A line comes after the function that begins with it.
        self.symbols = sorted(symbols, key=lambda symbol: (symbol.address, is_line(symbol), symbol.size))
        self._addresses = [symbol.address for symbol in self.symbols]

    @classmethod
    def decode(cls, blob: bytes) -> "SymbolTable":
        """Parse a blob.

        :raises FormatError: not zstd, larger than `SYMBOLS_RAW_MAX` unpacked, or a line that is none.
        """
        try:
            size = zstandard.frame_content_size(blob)
            if not 0 <= size <= SYMBOLS_RAW_MAX:
                raise FormatError(f"symbols: at most {SYMBOLS_RAW_MAX} bytes expected, the frame says {size}")
            text = zstandard.ZstdDecompressor().decompress(blob, max_output_size=size).decode()
            fields = (line.split(" ", 2) for line in text.splitlines())
            return cls(Symbol(int(address, 16), int(size_, 16), name) for address, size_, name in fields)
        except (zstandard.ZstdError, ValueError) as error:
            raise FormatError(f"symbols: lines of address, size and name expected: {error}") from None

    def name(self, address: int) -> str:
        """`function+0x12`, `function (file.c:12)+0x3`, or the bare address where no symbol covers it."""
        place = bisect.bisect_right(self._addresses, address) - 1
        if place >= 0:
            symbol = self.symbols[place]
            offset = address - symbol.address
            if offset < max(symbol.size, 1):
                return f"{symbol.name}+{offset:#x}" if offset else symbol.name
        return f"{address:#x}"
