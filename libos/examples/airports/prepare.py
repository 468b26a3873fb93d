"""Write the airports of the PyPI package `airportsdata` as tables for the guest: `prepare.py OUTDIR`.

`text.bin` holds ten NUL-ended strings per airport, sorted by ICAO code: icao, iata, name, city, region, country,
elevation in feet, latitude, longitude, time zone. `offsets.bin` says where each airport begins (u32). `fold.bin` maps
code points from U+00C0 on to the ASCII letter people type for them (0: none). `tables.S` puts the three into a program.
"""

import struct
import sys
import unicodedata
from pathlib import Path
from typing import Final

import airportsdata

FOLD_FIRST: Final = 0xC0
FOLD_END: Final = 0x1F00  # after Latin Extended Additional
WITHOUT_DECOMPOSITION: Final = dict(zip("ÆæÐðØøÞþßĐđıŁłŒœ", "aaddoottsddilloo", strict=True))

TABLES: Final = """\
    .section .rodata
    .balign 4
    .global airports_offsets, airports_count, airports_text, airports_fold
airports_offsets:
    .incbin "offsets.bin"
airports_count:
    .long {count}
airports_text:
    .incbin "text.bin"
airports_fold:
    .incbin "fold.bin"
    .section .note.GNU-stack, "", @progbits
"""


def folded(code: int) -> int:
    """The lower-case ASCII letter for a code point, or 0."""
    letter = chr(code)
    base = WITHOUT_DECOMPOSITION.get(letter) or unicodedata.normalize("NFKD", letter)[0].lower()
    return ord(base) if base.isascii() and base.isalnum() else 0


def main(out: Path) -> None:
    """Write the four files into `out`."""
    airports = sorted(airportsdata.load().values(), key=lambda airport: airport["icao"])
    text, offsets = bytearray(), []
    for a in airports:
        offsets.append(len(text))
        place = (f"{a['elevation']:.0f}", f"{a['lat']:.5f}", f"{a['lon']:.5f}", a["tz"])
        for field in (a["icao"], a["iata"], a["name"], a["city"], a["subd"], a["country"], *place):
            text += " ".join(field.replace("\0", "").split()).encode() + b"\0"
    (out / "text.bin").write_bytes(text)
    (out / "offsets.bin").write_bytes(struct.pack(f"<{len(offsets)}I", *offsets))
    (out / "fold.bin").write_bytes(bytes(map(folded, range(FOLD_FIRST, FOLD_END))))
    (out / "tables.S").write_text(TABLES.format(count=len(offsets)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
