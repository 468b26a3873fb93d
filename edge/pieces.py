"""How much of what a client sent is given to the parser at once: no more than one request begins in a piece, or few.

The parser cannot be stopped within a piece, so what waits for its turn is bounded only from one piece to the next.
"""

from typing import Final

from edge.crowd import READ_BYTES

FEED_BYTES: Final = READ_BYTES  # at most
CHUNKS_BYTES: Final = 1 << 11  # of a body whose end nobody knows: requests that follow it are then few
SHORTEST_HEAD: Final = len(b"GET / HTTP/1.1\r\n\r\n")


def end_of_piece(data: bytes, start: int, *, chunked: bool, body_left: int) -> int:
    """Where the piece of `data` that begins at `start` ends.

    :param chunked: it is within a body in chunks. :param body_left: or within one that has so many bytes left.
    """
    most = FEED_BYTES
    if chunked:
        most = CHUNKS_BYTES
    elif body_left:
        most = min(most, body_left)
    else:
        end = data.find(b"\r\n\r\n", start + SHORTEST_HEAD - 4)
        if end >= 0:
            most = min(most, end + 4 - start)
    return min(len(data), start + most)
