"""Frames come whole, in pieces, and from a worker that lies: the same frames, or a ValueError."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from edge.vmm import frames
from edge.vmm.frames import Frame

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
def test_whole(sent: list[Frame]) -> None:
    buffer = bytearray(b"".join(frames.pack(*frame) for frame in sent))
    assert frames.parse(buffer) == sent
    assert not buffer


@given(FRAMES, st.integers(1, 40))
def test_in_pieces(sent: list[Frame], size: int) -> None:
    data = b"".join(frames.pack(*frame) for frame in sent)
    buffer, got = bytearray(), []
    for start in range(0, len(data), size):
        buffer += data[start : start + size]
        got += frames.parse(buffer)
    assert got == sent
    assert not buffer


@given(st.binary(max_size=400))
def test_anything(data: bytes) -> None:
    buffer, got = bytearray(data), []
    with suppress(ValueError):
        got = frames.parse(buffer)
    assert sum(len(frames.pack(*frame)) for frame in got) + len(buffer) == len(data)
