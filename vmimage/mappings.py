"""The `mappings` of a source map (ECMA-426, section 9): positions in the text that runs, with those they were made of.

Lines are parted by `;`, the segments of a line by `,`. A segment is one, four or five numbers in base64 VLQ, each the
difference to the number before it in its place: column; source, line and column there; a name, which nobody needs here.

Parsed with numpy, all numbers at once: an edge does so while it serves others, and a publisher chose the text.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmimage.errors import FormatError

MAPPINGS_MAX: Final = 1 << 20  # characters; a bundle of some 4 MB. Parsed, one takes some 30 bytes for a moment
SEGMENTS_MAX: Final = 1 << 18  # 20 bytes each, kept
POSITION_MAX: Final = (1 << 31) - 1  # of a line or a column
UNMAPPED: Final = -1  # the source of a segment that was made of none

_DIGITS_MAX: Final = 7  # of 5 bits: 32 bits and a sign
_COMMA, _SEMICOLON, _NONE = 64, 65, 255
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_CODES: Final = np.full(256, _NONE, dtype=np.uint8)  # a digit's value, or what parts numbers
_CODES[list(_ALPHABET)] = np.arange(64)
_CODES[[ord(","), ord(";")]] = _COMMA, _SEMICOLON
_MORE: Final = 32  # in a digit: the number goes on

_Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Segments:
    """Segments in the order of the text that runs; lines and columns count from 0."""

    places: _Numbers  # line << 32 | column, ascending
    sources: NDArray[np.int32]  # UNMAPPED or a place in the list of sources
    lines: NDArray[np.int32]
    columns: NDArray[np.int32]

    @property
    def cost_bytes(self) -> int:
        """What they take in memory."""
        return self.places.nbytes + self.sources.nbytes + self.lines.nbytes + self.columns.nbytes

    def find(self, line: int, column: int) -> tuple[int, int, int] | None:
        """Source, line and column that a position was made of; None where nobody says."""
        place = int(np.searchsorted(self.places, (line << 32) | column, side="right")) - 1
        if place < 0 or int(self.places[place]) >> 32 != line or self.sources[place] == UNMAPPED:
            return None
        return int(self.sources[place]), int(self.lines[place]), int(self.columns[place])


def parse_mappings(text: bytes, source_count: int) -> Segments:
    """The segments of a source map.

    :param source_count: how many sources there are.
    :raises FormatError: too long, no such text, or a number out of range.
    """
    if len(text) > MAPPINGS_MAX:
        raise FormatError(f"mappings: at most {MAPPINGS_MAX} characters expected, got {len(text)}")
    codes = _CODES[np.frombuffer(text, dtype=np.uint8)]
    if bool((codes == _NONE).any()):
        raise FormatError("mappings: base64 digits, commas and semicolons expected")
    parts = codes >= _COMMA
    values, starts = _values(codes, np.flatnonzero(~parts).astype(np.int32))
    in_segment = np.cumsum(parts, dtype=np.int32)[starts]  # the number of its segment, counted with empty ones
    counts = np.bincount(in_segment, minlength=1)
    segments = np.flatnonzero(counts)
    counts = counts[segments]
    if len(segments) > SEGMENTS_MAX:
        raise FormatError(f"mappings: at most {SEGMENTS_MAX} segments expected, got {len(segments)}")
    if not bool(np.isin(counts, (1, 4, 5)).all()):
        raise FormatError("mappings: segments of one, four or five numbers expected")
    lines_before = np.concatenate(([0], np.cumsum(codes[parts] == _SEMICOLON)))
    return _resolved(values, np.cumsum(counts) - counts, counts > 1, lines_before[segments], source_count)


def _values(codes: NDArray[np.uint8], places: NDArray[np.int32]) -> tuple[_Numbers, NDArray[np.int32]]:
    """The numbers, and where in the text each begins.

    :param places: of all digits.
    """
    if not len(places):
        return np.zeros(0, dtype=np.int64), places
    digits = codes[places]
    last = digits < _MORE
    if not last[-1] or bool((~last[:-1] & (places[:-1] + 1 != places[1:])).any()):
        raise FormatError("mappings: whole numbers expected")
    begin = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1)).astype(np.int32)
    lengths = np.diff(begin, append=np.int32(len(places)))
    if int(lengths.max()) > _DIGITS_MAX:
        raise FormatError(f"mappings: numbers of at most {_DIGITS_MAX} digits expected")
    shifts = 5 * (np.arange(len(places), dtype=np.int32) - np.repeat(begin, lengths))
    sums = np.add.reduceat((digits & (_MORE - 1)).astype(np.int64) << shifts, begin)
    return np.where(sums & 1, -(sums >> 1), sums >> 1), places[begin]


def _resolved(
    values: _Numbers, first: _Numbers, mapped: NDArray[np.bool_], lines: _Numbers, source_count: int
) -> Segments:
    """Differences added up: columns anew in each line, all else over the whole text.

    :param first: the place of each segment's first number. :param lines: that it is in.
    """
    sources = np.full(len(first), UNMAPPED, dtype=np.int32)
    positions = np.zeros((2, len(first)), dtype=np.int32)
    of_mapped = first[mapped]
    found = np.cumsum(values[of_mapped + 1])
    if bool(((found < 0) | (found >= source_count)).any()):
        raise FormatError(f"mappings: a source of {source_count} expected")
    sources[mapped] = found
    for number in range(2):
        positions[number, mapped] = _checked(np.cumsum(values[of_mapped + 2 + number]))
    sums = np.cumsum(values[first])
    begin = np.flatnonzero(np.diff(lines, prepend=-1))  # the first segment of each line
    before = np.repeat(sums[begin] - values[first[begin]], np.diff(begin, append=len(lines)))
    places = lines << 32 | _checked(sums - before)
    order = np.argsort(places, kind="stable")
    return Segments(places[order], sources[order], positions[0, order], positions[1, order])


def _checked(numbers: _Numbers) -> _Numbers:
    if bool(((numbers < 0) | (numbers > POSITION_MAX)).any()):
        raise FormatError(f"mappings: lines and columns from 0 to {POSITION_MAX} expected")
    return numbers
