"""Source maps' mappings: what numpy makes of them is what the specification says, and any other text is refused."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmimage.errors import FormatError
from vmimage.mappings import UNMAPPED, parse_mappings

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
Segment = tuple[int, ...]  # column, then source, line and column there, then a name
SOURCES = 5

_small = st.integers(0, 70)
_position = st.one_of(_small, st.integers(0, (1 << 31) - 1))
_segment = st.one_of(
    st.tuples(_position),
    st.tuples(_position, st.integers(0, SOURCES - 1), _position, _position),
    st.tuples(_position, st.integers(0, SOURCES - 1), _position, _position, _small),
)
_lines = st.lists(st.lists(_segment, max_size=6), max_size=8)


def vlq(number: int) -> str:
    """One number, as ECMA-426 section 9.1 writes it."""
    left, text = (-number << 1) | 1 if number < 0 else number << 1, ""
    while True:
        digit, left = left & 31, left >> 5
        text += ALPHABET[digit | (32 if left else 0)]
        if not left:
            return text


def written(lines: list[list[Segment]]) -> str:
    before = [0] * 5
    texts = []
    for line in lines:
        before[0] = 0
        segments = []
        for segment in line:
            segments.append("".join(vlq(number - was) for number, was in zip(segment, before, strict=False)))
            before[: len(segment)] = segment
        texts.append(",".join(segments))
    return ";".join(texts)


@given(_lines)
def test_what_is_written_is_read(lines: list[list[Segment]]) -> None:
    parsed = parse_mappings(written(lines).encode(), SOURCES)
    expected = sorted(
        ((number << 32 | segment[0], segment) for number, line in enumerate(lines) for segment in line),
        key=lambda pair: pair[0],
    )
    assert parsed.places.tolist() == [place for place, _ in expected]
    assert parsed.sources.tolist() == [segment[1] if len(segment) > 1 else UNMAPPED for _, segment in expected]
    mapped = [segment for _, segment in expected if len(segment) > 1]
    found = zip(parsed.sources.tolist(), parsed.lines.tolist(), parsed.columns.tolist(), strict=True)
    assert [each for each in found if each[0] != UNMAPPED] == [segment[1:4] for segment in mapped]


@given(_lines, st.integers(0, 8), _position)
def test_a_position_is_that_of_the_last_segment_before_it_in_its_line(
    lines: list[list[Segment]], line: int, column: int
) -> None:
    parsed = parse_mappings(written(lines).encode(), SOURCES)
    before = sorted((s for s in (lines[line] if line < len(lines) else []) if s[0] <= column), key=lambda s: s[0])
    expected = before[-1][1:4] if before and len(before[-1]) > 1 else None
    assert parsed.find(line, column) == expected


@given(st.text(alphabet=ALPHABET + ",;", max_size=60))
def test_any_text_of_its_characters_is_read_or_refused(text: str) -> None:
    try:
        parsed = parse_mappings(text.encode(), SOURCES)
    except FormatError:
        return
    assert len(parsed.places) <= text.count(",") + text.count(";") + 1
    assert parsed.places.tolist() == list(accumulate(parsed.places.tolist(), max)), "ascending"
    assert ((parsed.sources >= UNMAPPED) & (parsed.sources < SOURCES)).all()


@given(st.binary(max_size=40))
def test_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        parse_mappings(data, SOURCES)
    except FormatError:
        pass


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"AAAg", "whole numbers"),  # cut at the end
        (b"AAg,A", "whole numbers"),  # cut by what parts segments
        (b"AA", "one, four or five"),
        (b"AAAAAA", "one, four or five"),
        (b"gggggggA", "at most 7 digits"),
        (b"A A", "base64 digits"),
        (b"AKAA", "a source of 5"),
        (b"ADAA", "a source of 5"),
        (b"AADA", "lines and columns"),
        (b"D", "lines and columns"),
        (b"A" * ((1 << 20) + 1), "characters"),
        (b"A," * ((1 << 18) + 1), "segments"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else "",
)
def test_what_is_no_mappings_is_refused(text: bytes, expected: str) -> None:
    with pytest.raises(FormatError, match=expected):
        parse_mappings(text, SOURCES)
