"""WebSockets of clients, decided: what a guest is told of them as requests, close codes, who has to wait, and time.

Pure. `edge.front.held_socket` carries this out; what ends all of a service's sockets is `supervisor.residents`' to say.
Numbers, events and pieces are those of `vmimage.abi`.
"""

from typing import Final, Literal, NamedTuple

from edge.model import flow
from vmimage import abi, errors

# Close codes, RFC 6455 section 7.4.1, and of IANA's registry SERVICE_RESTART and TRY_AGAIN.
GOING_AWAY: Final = 1001
NO_CODE: Final = 1005  # a close frame without one; never sent
LOST: Final = 1006  # no close frame at all; never sent
POLICY: Final = 1008
TOO_LARGE: Final = 1009
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
TRY_AGAIN: Final = 1013

METHOD: Final = "SOCKET"  # of requests that are events: not one that a client can send
WINDOW: Final = abi.STREAM_WINDOW  # bytes for a client that it has not taken yet

Event = Literal["text", "binary", "close", "error", "taken"]


def offer(block: bytes, number: int, run: str, lineage: int) -> bytes:
    """A request's block that offers the guest to take the request for a socket.

    :param block: ends with the empty name; nothing follows it.
    """
    upgrade = b"HTTP_UPGRADE\0websocket\0HTTP_CONNECTION\0Upgrade\0"
    return block[:-1] + upgrade + _about(number, run, lineage) + b"\0"


def event(
    kind: Event, number: int, run: str, lineage: int, taken: int = 0, *, code: int = 0, clean: bool = False
) -> bytes:
    """The block of a request that tells a guest of a socket; a message, or a reason, is its body.

    :param run: of the edge, and :param lineage: of the service's machines: with another the guest's sockets are gone.
    :param taken: bytes that the client has taken since the socket began, modulo 2^64.
    :param code: with which it was closed.
    """
    about = b"REQUEST_METHOD\0%b\0NUNATAK_EVENT\0%b\0%b" % (
        METHOD.encode(),
        kind.encode(),
        _about(number, run, lineage),
    )
    return b"%bNUNATAK_TAKEN\0%d\0NUNATAK_CODE\0%d\0NUNATAK_CLEAN\0%d\0\0" % (about, taken, code, clean)


def _about(number: int, run: str, lineage: int) -> bytes:
    return b"NUNATAK_SOCKET\0%d\0NUNATAK_LINEAGE\0%b-%d\0" % (number, run.encode(), lineage)


def code_after(error: BaseException) -> int:
    """With which code a socket ends whose guest could not be told of something."""
    match error:
        case flow.ClientError():
            return TRY_AGAIN
        case errors.Unavailable() | errors.OverBudget():
            return TRY_AGAIN
        case flow.WorkerLost():
            return SERVICE_RESTART
        case _:
            return INTERNAL_ERROR


def label_of(code: int) -> str:
    """A close code as a label of counters: those of the protocol, and one for all that applications choose."""
    return str(code) if 1000 <= code < 1016 else "other"


class Patience(NamedTuple):
    """How long a socket may be silent, in seconds."""

    ping_s: float  # after which a client is pinged, and given up after as much again
    idle_s: float  # without a message either way
    message_s: float  # from the first byte of a message to its last
    close_s: float  # between our close frame and the client's


class Times(NamedTuple):
    """When things happened to a socket, in loop time."""

    heard: float  # something came from the client
    pinged: float | None  # it was asked for a sign of life that it has not given
    message: float  # the last message, either way
    begun: float | None = None  # the message that is arriving
    closing: float | None = None  # our close frame left


class Due(NamedTuple):
    """What is to be done with a socket now, and how long to wait before the next look."""

    act: Literal["nothing", "ping", "silent", "idle", "slow", "unclosed"]
    look_s: float


def due(times: Times, patience: Patience, now: float) -> Due:
    """Whether time is up for something."""
    if times.closing is not None:
        left = times.closing + patience.close_s - now
        return Due("unclosed", 0) if left <= 0 else Due("nothing", left)
    waits = times.pinged is not None
    sign = (times.heard if times.pinged is None else times.pinged) + patience.ping_s - now
    idle = times.message + patience.idle_s - now
    slow = idle if times.begun is None else times.begun + patience.message_s - now
    if slow <= 0 and times.begun is not None:
        return Due("slow", 0)
    if idle <= 0:
        return Due("idle", 0)
    if sign <= 0:
        return Due("silent", 0) if waits else Due("ping", min(patience.ping_s, idle, slow))
    return Due("nothing", min(sign, idle, slow))
