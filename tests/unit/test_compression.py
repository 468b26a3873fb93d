"""Frames whose cost is known before it is paid."""

import pytest
import zstandard

from vmimage.compression import content_size, unpack
from vmimage.errors import FormatError

TEXT = b"a line of text\n" * 1000
FRAME = zstandard.ZstdCompressor().compress(TEXT)
UNSIZED = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)


def test_a_frame_is_unpacked() -> None:
    assert unpack("text", FRAME, len(TEXT)) == TEXT
    assert unpack("text", memoryview(FRAME), len(TEXT), at_least=len(TEXT)) == TEXT
    assert unpack("text", FRAME, len(TEXT), decompressor=zstandard.ZstdDecompressor()) == TEXT
    assert content_size("text", FRAME, len(TEXT)) == len(TEXT)


@pytest.mark.parametrize(
    ("frame", "at_most", "at_least"),
    [
        (b"", len(TEXT), 0),
        (b"no frame at all", len(TEXT), 0),
        (FRAME, len(TEXT) - 1, 0),
        (FRAME, len(TEXT) + 1, len(TEXT) + 1),
        (FRAME[:-1], len(TEXT), 0),
        (FRAME + b"more", len(TEXT), 0),
        (FRAME + FRAME, 2 * len(TEXT), 0),
        (UNSIZED, len(TEXT), 0),
    ],
    ids="empty other large small cut longer twice unsized".split(),
)
def test_anything_else_is_refused_by_name(frame: bytes, at_most: int, at_least: int) -> None:
    with pytest.raises(FormatError, match=r"^text: "):
        unpack("text", frame, at_most, at_least)


def test_a_window_that_the_content_does_not_need_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=25, write_content_size=True)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=len(TEXT) + (40 << 20))
    frame = writer.compress(TEXT + bytes(40 << 20)) + writer.flush()
    assert len(unpack("zeros", frame, 64 << 20)) == len(TEXT) + (40 << 20)
    with pytest.raises(FormatError, match=r"^zeros: "):
        unpack("zeros", frame, 1 << 20)
