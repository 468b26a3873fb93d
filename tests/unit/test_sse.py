"""Server-sent events: are they read as they were written, in pieces of any size, and bounded?"""

import pytest

from vmimage.sse import ALIVE, Frame, Reader, TooLong, frame, retry

STREAM = retry(6000) + frame(7, b'{"a":1}') + ALIVE + frame(8, b"x")


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(STREAM)])
def test_frames_are_read_in_pieces_of_any_size(size: int) -> None:
    reader = Reader(1000)
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [found for piece in pieces for found in reader.take(piece)] == [Frame("7", b'{"a":1}'), Frame("8", b"x")]
    assert reader.retry_ms == 6000


def test_other_fields_and_line_ends_are_borne() -> None:
    [found] = Reader(1000).take(b"event: purge\r\nunknown: 1\r\nretry: soon\r\ndata: a\r\ndata:b\r\nid: 3\r\n\r\n")
    assert found == Frame("3", b"a\nb")


@pytest.mark.parametrize("data", [b"data: " + b"x" * 100, b"data: " + b"x" * 100 + b"\n\n"])
def test_a_frame_without_an_end_is_refused(data: bytes) -> None:
    with pytest.raises(TooLong):
        list(Reader(64).take(data))
