"""Zstandard frames whose cost is known before it is paid: a frame must say its size, and be one frame."""

from typing import Final

import zstandard

from vmimage.errors import FormatError

WINDOW_MAX: Final = 1 << 27  # bytes; what `zstd --long` uses, the most a decoder here allocates
WINDOW_MIN: Final = 1 << 20  # that any frame may ask for, however little it holds


def content_size(what: str, frame: bytes | memoryview, at_most: int, at_least: int = 0) -> int:
    """Bytes that a frame says it holds.

    :param what: of which the message speaks.
    :raises FormatError: no frame, one that does not say, or another size.
    """
    try:
        size = zstandard.frame_content_size(frame)
    except zstandard.ZstdError as error:
        raise FormatError(f"{what}: a zstd frame expected: {error}") from None
    if not at_least <= size <= at_most:
        wanted = f"{at_least}" if at_least == at_most else f"at most {at_most}"
        raise FormatError(f"{what}: {wanted} bytes of content expected, the frame says {size}")
    return size


def unpack(
    what: str,
    frame: bytes | memoryview,
    at_most: int,
    at_least: int = 0,
    decompressor: zstandard.ZstdDecompressor | None = None,
) -> bytes:
    """The content of one frame, with nothing behind it.

    :param decompressor: a context to use again, for those who handle many small frames.
    :raises FormatError: see `content_size`; or the frame is damaged.
    """
    size = content_size(what, frame, at_most, at_least)
    context = decompressor or zstandard.ZstdDecompressor(max_window_size=min(WINDOW_MAX, max(WINDOW_MIN, at_most)))
    try:
        data = context.decompress(frame, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise FormatError(f"{what}: a zstd frame expected: {error}") from None
    if len(data) != size:
        raise FormatError(f"{what}: {size} bytes of content expected, got {len(data)}")
    return data
