"""What one edge of a POP says to another beside a client's request and its answer: fields that only peers may say.

They are read on the listener for peers alone. On public listeners they are a client's text: no guest sees them
(`cgi`), and `onward` drops them before a request goes to a peer, so that nobody speaks through an edge. Pure.
"""

import re
from typing import Final, NamedTuple

from edge.front.reached import Reached

FIELD: Final = b"x-nunatak-peer"  # of a request: `Forwarded`
IMAGE: Final = b"x-nunatak-image"  # of an answer: the digest of the image that it is of
SINCE: Final = b"x-nunatak-since"  # of an answer: milliseconds since the run began that made it
ELSEWHERE: Final = b"x-nunatak-elsewhere"  # of an answer that is none: the peer has not begun, for this reason
OURS: Final = b"x-nunatak-"  # what all of them begin with, and others that clients are told

# A form for each place, so that what is read is what was written.
_FORM: Final = re.compile(
    rb"1 ([0-9A-Za-z:.%-]{0,64}|-) ([0-9]{1,5}) ([su]*|-) ([0-9A-Za-z._-]{1,64}) (sha256:[0-9a-f]{64}) ([0-9]{1,15}|-)"
)


class Forwarded(NamedTuple):
    """What a peer says of a request that it forwards."""

    remote: str  # the address at the other end of the client's connection; empty for a Unix socket's
    reached: Reached  # how that connection came
    id: bytes  # of the request
    image: str  # the digest of the image that the service has by the peer's catalogue
    # Milliseconds since something made void there what is kept of this: answers of runs that began before are of no
    # use to it. None where nothing did.
    void_ms: int | None

    def line(self) -> bytes:
        """The field's value."""
        flags = ("s" if self.reached.secure else "") + ("u" if self.reached.unknown else "")
        void = "-" if self.void_ms is None else str(self.void_ms)
        remote, id = self.remote or "-", self.id.decode("latin-1")
        return f"1 {remote} {self.reached.port} {flags or '-'} {id} {self.image} {void}".encode("latin-1")


def parse_forwarded_by_peer(value: bytes) -> Forwarded | None:
    """What the field says; None where it says nothing that this edge knows."""
    match = _FORM.fullmatch(value)
    if match is None:
        return None
    remote, port, flags, id, image, void = match.groups()
    address = "" if remote == b"-" else remote.decode("ascii")
    number = int(port)
    if number > 65535:
        return None
    reached = Reached(number, None, b"u" in flags, b"s" in flags)
    return Forwarded(address, reached, id, image.decode("ascii"), None if void == b"-" else int(void))
