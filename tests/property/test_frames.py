"""Frames come whole, in pieces, and from a worker that lies: the same frames, or a ValueError."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.vmm.wire import frames
from edge.vmm.wire.frames import Frame
from vmimage import abi, snapshot
from vmimage.drives import WRITTEN_MAX

FRAMES = st.lists(
    st.builds(
        Frame,
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=300),
    ),
    max_size=8,
)


@given(FRAMES)
def test_frames_parse_to_what_was_packed(sent: list[Frame]) -> None:
    buffer = bytearray(b"".join(frames.pack(*frame) for frame in sent))
    assert frames.parse(buffer) == sent
    assert not buffer


@given(FRAMES, st.integers(1, 40))
def test_frames_in_pieces_of_any_size_are_the_same_frames(sent: list[Frame], size: int) -> None:
    data = b"".join(frames.pack(*frame) for frame in sent)
    buffer, got = bytearray(), []
    for start in range(0, len(data), size):
        buffer += data[start : start + size]
        got += frames.parse(buffer)
    assert got == sent
    assert not buffer


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_frames_or_an_error_and_none_is_lost(data: bytes) -> None:
    buffer, got = bytearray(data), []
    with suppress(ValueError):
        got = frames.parse(buffer)
    assert sum(len(frames.pack(*frame)) for frame in got) + len(buffer) == len(data)


def test_what_would_be_refused_is_not_sent() -> None:
    largest = frames.pack(frames.PARKED, 0, 1, 0, bytes(frames.PAYLOAD_MAX))
    assert [len(frame.payload) for frame in frames.parse(bytearray(largest))] == [frames.PAYLOAD_MAX]
    with pytest.raises(ValueError, match="at most"):
        frames.pack(frames.PARKED, 0, 1, 0, bytes(frames.PAYLOAD_MAX + 1))


def test_a_record_of_the_maximum_fits_an_open_with_all_that_goes_with_it() -> None:
    """Bytes that do not compress in every page, scratch disks as full as they may be, and JSON of the largest size."""
    record = snapshot.record_size(frames.RECORD_BYTES_MAX // abi.PAGE_SIZE)
    scratch = WRITTEN_MAX + WRITTEN_MAX // abi.PAGE_SIZE * 4 + abi.DISKS_MAX * 8
    stored = sum(size + size // 256 + 1024 for size in (record, scratch))  # zstd: ZSTD_compressBound
    assert stored + (1 << 20) < frames.PAYLOAD_MAX
